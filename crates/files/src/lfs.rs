//! A file that Git LFS left undone: a text of three lines that says where the file would be found.

/// Whether contents begin as every such text does: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.
pub fn is_lfs_pointer(contents: &[u8]) -> bool {
    contents.starts_with(b"version https://git-lfs.github.com/spec/")
}
