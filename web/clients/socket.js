// The WebSocket that several clients here use: npm's graphql-ws.
import { createClient } from "graphql-ws";
import { WebSocket } from "ws";

import { endpoint } from "./job.js";

// Node.js has one of its own from version 22 on.
globalThis.WebSocket ??= WebSocket;

// A test wants to know of the first failure; an application leaves retryAttempts alone.
export const socket = createClient({ url: endpoint.replace(/^http/, "ws"), retryAttempts: 0 });
