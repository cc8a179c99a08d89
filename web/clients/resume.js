// Every event, over breaks of the connection: node clients/resume.js ws|sse http://127.0.0.1:8000/graphql CURSOR
// prints one JSON line for each event, until it is killed.
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import { WebSocket } from "ws";

const [transport, endpoint, after] = process.argv.slice(2);
globalThis.WebSocket ??= WebSocket;

const client = {
  ws: () => ws.createClient({ url: endpoint.replace(/^http/, "ws") }),
  sse: () => sse.createClient({ url: endpoint }),
}[transport]();

const query = `
  subscription Events($after: String) {
    events(after: $after) {
      cursor
      kind
    }
  }
`;
const variables = { after };
for await (const { data, errors } of client.iterate({ query, variables })) {
  if (errors) throw new Error(JSON.stringify(errors));
  // When the client connects again, it sends these variables as they are then.
  variables.after = data.events.cursor;
  console.log(JSON.stringify(data.events));
}
