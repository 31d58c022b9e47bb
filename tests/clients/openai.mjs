import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Say hello.' }];
const small = { model: SMALL, messages, max_tokens: 16 };

await check('chat', async () => {
  const answer = await client.chat.completions.create(small);
  assert.ok(answer.choices[0].message.content.trim());
  assert.equal(answer.model, SMALL);
});

await check('stream', async () => {
  const stream = client.chat.completions.stream({ ...small, stream_options: { include_usage: true } });
  const answer = await stream.finalChatCompletion();
  assert.ok(answer.choices[0].message.content.trim());
  assert.ok(answer.usage.completion_tokens > 0);
});

await check('parse', async () => {
  const answer = await client.chat.completions.parse({
    model: ABLE,
    messages: [{ role: 'user', content: ABOUT }],
    response_format: zodResponseFormat(City, 'city'),
  });
  assert.deepEqual(answer.choices[0].message.parsed, PARIS);
});

await check('runTools', async () => {
  const asked = [];
  const count = {
    name: 'count',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    parse: JSON.parse,
    function: ({ city }) => (asked.push(city), String(city.length)),
  };
  const runner = client.chat.completions.runTools({
    model: ABLE,
    messages: [{ role: 'user', content: "How many inhabitants has 'Paris'?" }],
    tools: [{ type: 'function', function: count }],
  });
  assert.ok((await runner.finalContent()).trim());
  assert.deepEqual(asked, ['Paris']);
});

await check('completions', async () => {
  const answer = await client.completions.create({ model: SMALL, prompt: 'Once upon a time', max_tokens: 8 });
  assert.ok(answer.choices[0].text.trim());
});

await check('embeddings', async () => {
  const answer = await client.embeddings.create({ model: 'vectors', input: ['One', 'Two'] });
  assert.equal(answer.data.length, 2);
  assert.ok(answer.data[0].embedding.every(Number.isFinite));
});

await check('models', async () => {
  const ids = (await whole(client.models.list())).map((model) => model.id);
  assert.ok(ids.includes(SMALL));
});

await check('errors', async () => {
  await assert.rejects(client.chat.completions.create({ ...small, temperature: 3 }), (error) => {
    return error instanceof OpenAI.BadRequestError && error.param === 'temperature';
  });
});
