//! Backups of a subvolume in a bucket, in chunks under the keys that btrfs_to_s3 reads and wrote:
//! chunks, then the manifest that names them, then the pointer to the newest.

pub mod costs;
pub mod index;
pub mod manifest;
