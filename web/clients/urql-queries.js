// urql's ordinary operations with the Accept header that it sends with all of them: by POST, by GET, and a mutation.
//   node clients/urql-queries.js http://127.0.0.1:8000/graphql
import { Client, fetchExchange } from "@urql/core";

import { endpoint } from "./job.js";

const QUERY = "{ systems { name } }";
const MUTATION = `mutation { refreshSystem(name: "nobody") { __typename } }`;

const results = await Promise.all([
  ...[false, "force"].map((preferGetMethod) =>
    new Client({ url: endpoint, preferGetMethod, exchanges: [fetchExchange] }).query(QUERY, {}).toPromise(),
  ),
  new Client({ url: endpoint, exchanges: [fetchExchange] }).mutation(MUTATION, {}).toPromise(),
]);
for (const { data, error } of results) console.log(JSON.stringify({ data, error: error?.message }));
