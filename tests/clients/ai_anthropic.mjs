import { createAnthropic } from '@ai-sdk/anthropic';

const provider = createAnthropic({ baseURL: `${URL}/v1`, apiKey: 'none' });
await checkProvider((name) => provider(name));
