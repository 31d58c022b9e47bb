import { createOpenAI } from '@ai-sdk/openai';

const provider = createOpenAI({ baseURL: `${URL}/v1`, apiKey: 'none' });
await checkProvider((name) => provider(name)); // its default: the Responses API
