import { createGraphiQLFetcher, createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import { Kind, parse } from "graphql";
import { createRoot } from "react-dom/client";

import examples from "./examples.graphql?raw";
import icon from "./icon.svg";
import "./page.css";
import "./workers.js";

// Relative to the page, so that a proxy may serve the gateway under a path of its own.
const endpoint = new URL("graphql", document.baseURI);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const send = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socket.href,
  // The gateway answers each query in one piece.
  enableIncrementalDelivery: false,
});

// For a moment after a change of tabs GraphiQL still names the other tab's operation: what is sent says which one it is.
function fetcher(request, options) {
  let documentAST;
  try {
    documentAST = parse(request.query);
  } catch {
    return send(request, options); // the gateway's answer tells what is wrong
  }
  const operations = documentAST.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
  const operationName = operations.length === 1 ? operations[0].name?.value : request.operationName;
  return send({ ...request, operationName }, { ...options, documentAST });
}

// Two empty lines stand between examples; each opens in a tab of its own.
const tabs = examples.split(/\n{3,}/).map((query) => ({ query: `${query.trim()}\n` }));

// Other programs on the same host and port (localhost:8000, say) may keep tabs of their own GraphiQL.
const storage = createLocalStorage({ namespace: "connectory" });

createRoot(document.getElementById("page")).render(
  <GraphiQL fetcher={fetcher} storage={storage} defaultTabs={tabs} inputValueDeprecation>
    <GraphiQL.Logo>
      <a className="home" href="./">
        <img src={icon} alt="" />
        Connectory
      </a>
    </GraphiQL.Logo>
  </GraphiQL>,
);
