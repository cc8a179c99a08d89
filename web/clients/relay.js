// Relay's runtime over WebSocket.
import { Environment, Network, Observable, RecordSource, Store, requestSubscription } from "relay-runtime";

import artifact from "./__generated__/relayJobProgressSubscription.graphql.js";
import { fail, print, variables } from "./job.js";
import { socket } from "./socket.js";

// "npm run relay" compiles what stands in this tag. In an application Babel puts the artifact in its place.
const graphql = () => artifact;

const subscription = graphql`
  subscription relayJobProgressSubscription($jobId: ID!, $after: String) {
    jobProgress(jobId: $jobId, after: $after) {
      cursor
      kind
      jobStatus
      processed
      job {
        id
        status
        progress {
          processed
          ratePerSecond
        }
      }
    }
  }
`;

const subscribe = ({ text: query, name: operationName }, variables) =>
  Observable.create((sink) => socket.subscribe({ query, operationName, variables }, sink));
const fetch = () => fail(new Error("nobody asked for a query"));
const environment = new Environment({
  network: Network.create(fetch, subscribe),
  store: new Store(new RecordSource()),
});
requestSubscription(environment, {
  subscription,
  variables,
  onNext: (data) => print({ data }),
  onError: fail,
});
