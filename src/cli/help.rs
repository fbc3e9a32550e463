//! What the helps of several commands have in common, once each. Macros, since `concat!` takes
//! nothing but literals.

/// How much is said, where, and at whose cost.
macro_rules! common {
    () => {
        "  -q, --quiet            once: no progress; twice: errors only
  -l, --logfile FILE     append a debug log to FILE
      --json             results as JSON, one object a line
      --full-speed       do not yield to other programs
"
    };
}

/// How far sides are reached.
macro_rules! ssh {
    () => {
        "      --ssh-command CMD  CMD instead of 'ssh', with arguments (also BUTTERSINK_SSH)
      --ssh-option OPT   'ssh -o OPT' (may be repeated)
      --remote-sudo CMD  become root at the far side with CMD instead of 'sudo'; '' for not at all
      --remote-command CMD
                         CMD instead of 'buttersink' at the far side
"
    };
}

/// How buckets are reached and used.
macro_rules! s3 {
    () => {
        "      --endpoint-url URL an S3 service other than AWS (also AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL)
      --region NAME      the bucket's region (also AWS_REGION)
      --profile NAME     the profile in the AWS configuration files (also AWS_PROFILE)
  -j, --concurrency N    requests at the same time in one transfer (4)
      --part-size SIZE   size of the parts of an upload, in MiB or with a unit: 64, 64M, 1G
      --checksum NAME    what the service checks parts by: md5, crc32c or sha256
      --sse WHAT         encryption at the service: none, AES256, aws:kms or aws:kms:KEY
      --storage-class C  the storage class of uploads
      --max-chain N      at most N diffs in a bucket to make one snapshot of (30)
      --s3-quirks NAMES  what the service cannot do; see buttersink-s3(5)
"
    };
}

/// What the exit status means.
macro_rules! exit_status {
    () => {
        "\
exit status:
  0    all done
  1    failed
  2    usage or configuration
  3    another run holds the lock, nothing done
  4    verification found a difference
  10   some tasks failed, others done
  130  interrupted
"
    };
}

pub(super) use {common, exit_status, s3, ssh};
