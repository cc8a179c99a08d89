// What each client here is asked to do: follow one job until it has ended.
//   node clients/<client>.js http://127.0.0.1:8000/graphql JOB_ID [CURSOR]
// prints one JSON line for each item; ends with 0 when the stream completes, with 1 when it fails.
export const [endpoint, jobId, after] = process.argv.slice(2);
export const variables = { jobId, after };

export const query = `
  subscription JobProgress($jobId: ID!, $after: String) {
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

// Some clients say "errors", others "error".
export function print({ data, errors, error }) {
  if (errors ?? error) fail(errors ?? error);
  else console.log(JSON.stringify(data.jobProgress));
}

export function fail(error) {
  console.error(JSON.stringify(error), error);
  process.exit(1);
}
