// The AI SDK: the same four things over each of the providers that speak to this service.
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';

async function checkProvider(modelOf) {
  await check('generateText', async () => {
    const { text, usage, finishReason } = await generateText({
      model: modelOf(SMALL), prompt: 'Say hello.', maxOutputTokens: 16, maxRetries: 0,
    });
    assert.ok(text.trim());
    assert.ok(usage.outputTokens > 0);
    assert.ok(['stop', 'length'].includes(finishReason));
  });

  await check('streamText', async () => {
    const { textStream, finishReason } = streamText({
      model: modelOf(SMALL), prompt: 'Say hello.', maxOutputTokens: 16, maxRetries: 0,
      onError: ({ error }) => { throw error; },
    });
    const pieces = await whole(textStream);
    assert.ok(pieces.join('').trim());
    assert.ok(['stop', 'length'].includes(await finishReason));
  });

  await check('generateObject', async () => {
    const { object } = await generateObject({ model: modelOf(ABLE), schema: City, prompt: ABOUT, maxRetries: 0 });
    assert.deepEqual(object, PARIS);
  });

  for (const [name, run] of [['tools', generateText], ['streamed tools', streamText]]) {
    await check(name, async () => {
      const asked = [];
      const count = tool({
        description: 'Count the inhabitants of a city.',
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => (asked.push(city), city.length),
      });
      const answer = await run({
        model: modelOf(ABLE), tools: { count }, stopWhen: stepCountIs(3), maxRetries: 0,
        prompt: "How many inhabitants has 'Paris'?",
      });
      assert.ok((await answer.text).trim());
      assert.deepEqual(asked, ['Paris']);
      assert.equal((await answer.steps).length, 2);
    });
  }
}
