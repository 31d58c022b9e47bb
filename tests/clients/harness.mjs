// What the scripts of this folder begin with: checks by their names, each reported on a line of its own as JSON.
// The rest of a script follows; `tests/service/clients.py` puts the two together, as packages are elsewhere.

import assert from 'node:assert/strict';
import { z } from 'zod';

const URL = process.env.NEVERBLANK_URL;
const [SMALL, ABLE] = ['smollm2', 'able'];
const City = z.object({ name: z.string(), inhabitants: z.number().int() });
const ABOUT = "'Paris' has 2102650 inhabitants.";
const PARIS = { name: 'Paris', inhabitants: 2102650 };

async function check(name, run) {
  try {
    await run();
    console.log(JSON.stringify({ name, error: '' }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: `${error.stack ?? error} ${JSON.stringify(error.cause ?? '')}` }));
  }
}

async function whole(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}
