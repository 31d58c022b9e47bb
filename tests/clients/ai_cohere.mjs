import { createCohere } from '@ai-sdk/cohere';
import { rerank } from 'ai';

const cohere = createCohere({ baseURL: `${URL}/v2`, apiKey: 'none' });
const model = cohere.reranking('ranking');
const documents = ['the cat sat on a mat', 'paris', 'who is in paris'];

await check('rerank', async () => {
  const { ranking, rerankedDocuments } = await rerank({ model, query: 'who is here', documents, maxRetries: 0 });
  const scores = ranking.map((each) => each.score);
  assert.deepEqual([...rerankedDocuments].sort(), [...documents].sort());
  assert.ok(scores.every(Number.isFinite));
  assert.deepEqual(scores, [...scores].sort((one, other) => other - one));
});

await check('rerank topN', async () => {
  const { ranking } = await rerank({ model, query: 'who is here', documents, topN: 1, maxRetries: 0 });
  assert.equal(ranking.length, 1);
});
