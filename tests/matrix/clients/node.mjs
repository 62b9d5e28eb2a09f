// The clients for JavaScript. Usage: node node.mjs NAME; the request is JSON on stdin, the ranking JSON on stdout.
import { readFileSync } from "node:fs";
import { createCohere } from "@ai-sdk/cohere";
import { CohereRerank } from "@langchain/cohere";
import { rerank } from "ai";
import { CohereClient, CohereClientV2 } from "cohere-ai";

const { url, key, query, documents, topN } = JSON.parse(readFileSync(0, "utf8"));
const pairs = (results) => results.map((each) => [each.index, each.relevanceScore]);

const calls = {
  async cohereV2() {
    const client = new CohereClientV2({ token: key, environment: url });
    const answer = await client.rerank({ model: "any", query, documents, topN, maxTokensPerDoc: 4096 });
    if (answer.meta.billedUnits.searchUnits !== 1) throw new Error("meta is lost");
    return pairs(answer.results);
  },
  async cohereV1() {
    const client = new CohereClient({ token: key, environment: url });
    const objects = documents.map((text, index) => ({ text, id: String(index) }));
    const answer = await client.rerank({ query, documents: objects, topN, rankFields: ["text"], returnDocuments: true });
    if (answer.results.some((each) => each.document.text !== documents[each.index])) throw new Error("other document");
    return pairs(answer.results);
  },
  async langchain() {
    const client = new CohereClient({ token: key, environment: url });
    const compressor = new CohereRerank({ client, model: "any", topN });
    const found = await compressor.compressDocuments(
      documents.map((pageContent, index) => ({ pageContent, metadata: { index } })), query);
    return found.map((each) => [each.metadata.index, each.metadata.relevanceScore]);
  },
  async vercel() {
    const model = createCohere({ apiKey: key, baseURL: `${url}/v2` }).reranking("any");
    const answer = await rerank({ model, query, documents, topN, providerOptions: { cohere: { priority: 0 } } });
    return answer.ranking.map((each) => [each.originalIndex, each.score]);
  },
};

const ranking = await calls[process.argv[2]]();
console.log(JSON.stringify({ ranking, tokens: null }));
