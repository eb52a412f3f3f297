//! Bytes on disk, whatever they mean.
//!
//! ```text
//! bytes ── write_atomic ─▶ .name.part ─ fsync ─ rename ─ fsync of the directory ─▶ file ── MappedFile ─▶ bytes
//! bytes ── write_new ────▶ .name.part ─ fsync ─ link, unless the name is taken ───────▶ file
//! files ── publish_dir ──▶ .name.itera-tmp ─ fsync ─ rename ─ fsync of the parent ────▶ directory
//! ```
//!
//! What is written appears whole or not at all: a reader, or a machine that loses power, sees what was there before or
//! what was written, never a part. Every failure is a [`FileError`], which names the path and what was tried.

mod atomic_dir;
mod atomic_file;
mod error;
mod lfs;
mod mapped;
mod sha256;

pub use atomic_dir::{STAGING_ENDINGS, publish, publish_dir, remove, sync_dir};
pub use atomic_file::{write_atomic, write_atomic_with, write_new};
pub use error::{FileError, failed_to};
pub use lfs::is_lfs_pointer;
pub use mapped::{MappedFile, OpenFile};
pub use sha256::Sha256Digest;
