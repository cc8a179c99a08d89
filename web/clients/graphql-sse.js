// npm's graphql-sse: a connection of its own for each subscription.
import { createClient } from "graphql-sse";

import { endpoint, fail, print, query, variables } from "./job.js";

const client = createClient({ url: endpoint, retryAttempts: 0 });
try {
  for await (const result of client.iterate({ query, variables })) print(result);
} catch (error) {
  fail(error);
}
