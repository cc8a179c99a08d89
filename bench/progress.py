"""The subscription that is measured: what a page shows that watches one job."""

QUERY = """
subscription Progress($job: ID!) {
  jobProgress(jobId: $job) {
    cursor
    at
    kind
    jobStatus
    processed
    changedFields
    job {
      id
      status
      startedAt
      progress { processed total percent }
      counts { indexed failed }
    }
  }
}
"""
