// urql over server-sent events, which its own fetch exchange reads.
import { Client, cacheExchange, fetchExchange } from "@urql/core";
import { forEach } from "wonka";

import { endpoint, print, query, variables } from "./job.js";

const client = new Client({ url: endpoint, fetchSubscriptions: true, exchanges: [cacheExchange, fetchExchange] });

// When the stream has completed, urql repeats its last result, with "hasNext" false.
const show = (result) => (result.hasNext || result.error) && print(result);
forEach(show)(client.subscription(query, variables));
