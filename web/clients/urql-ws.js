// urql over WebSocket.
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { forEach } from "wonka";

import { endpoint, print, query, variables } from "./job.js";
import { socket } from "./socket.js";

const forwardSubscription = ({ query, variables }) => ({
  subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
});
const client = new Client({
  url: endpoint,
  exchanges: [cacheExchange, fetchExchange, subscriptionExchange({ forwardSubscription })],
});

// When the stream has completed, urql repeats its last result, with "hasNext" false.
const show = (result) => (result.hasNext || result.error) && print(result);
forEach(show)(client.subscription(query, variables));
