// npm's graphql-ws alone.
import { fail, print, query, variables } from "./job.js";
import { socket } from "./socket.js";

try {
  for await (const result of socket.iterate({ query, variables })) print(result);
} catch (error) {
  fail(error);
}
