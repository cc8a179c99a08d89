// The audits of npm's graphql-http against a running server: node audit/http.js http://127.0.0.1:8000/graphql
// Prints one JSON line for each audit, and ends with 1 when one fails.
import { auditServer } from 'graphql-http';

const results = await auditServer({ url: process.argv[2] });
for (const { id, name, status, reason } of results) {
  console.log(JSON.stringify({ id, name, status, reason }));
}
process.exitCode = results.some(({ status }) => status !== 'ok') ? 1 : 0;
