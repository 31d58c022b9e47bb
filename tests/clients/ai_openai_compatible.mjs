import { createOpenAICompatible } from '@ai-sdk/openai-compatible';

const provider = createOpenAICompatible({
  name: 'neverblank', baseURL: `${URL}/v1`, includeUsage: true, supportsStructuredOutputs: true,
});
await checkProvider((name) => provider(name));
