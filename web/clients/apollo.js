// Apollo Client over WebSocket.
import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";

import { fail, print, query, variables } from "./job.js";
import { socket } from "./socket.js";

const client = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
client.subscribe({ query: gql(query), variables }).subscribe({ next: print, error: fail });
