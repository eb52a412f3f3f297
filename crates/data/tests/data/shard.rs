//! Token shards on disk.

use std::fs;

use itera_data::{DataError, Shard, ShardWriter};
use itera_tokenizer::TokenId;
use proptest::prelude::*;
use tempfile::tempdir;

/// A shard of these tokens; the directory keeps its file.
pub fn shard_of(ids: &[u32], vocab_size: usize) -> (tempfile::TempDir, Shard) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.tokens");
    let mut writer = ShardWriter::new(vocab_size);
    writer.extend(ids.iter().copied().map(TokenId));
    writer.finish(&path).unwrap();
    let shard = Shard::open(&path).unwrap();
    (dir, shard)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn tokens_come_back(ids in prop::collection::vec(0u32..70_000, 0..300)) {
        for vocab_size in [1 << 16, (1 << 16) + 1, 1 << 20] {
            let ids: Vec<u32> = ids.iter().map(|&id| id.min(vocab_size as u32 - 1)).collect();
            let (_dir, shard) = shard_of(&ids, vocab_size);
            prop_assert_eq!(shard.len(), ids.len());
            let mut copied = Vec::new();
            shard.copy_range(0..ids.len(), &mut copied);
            prop_assert!(ids.iter().zip(&copied).all(|(&id, &copy)| copy == id as i32));
            prop_assert!((0..ids.len()).all(|i| shard.token(i) == TokenId(ids[i])));
        }
    }
}

#[test]
fn small_vocabularies_take_two_bytes_a_token() {
    let size = |vocab_size| fs::metadata(shard_of(&[1; 100], vocab_size).0.path().join("s.tokens")).unwrap().len();
    assert_eq!(size((1 << 16) + 1) - size(1 << 16), 200);
}

#[test]
fn documents_end_with_eos() {
    let ranges = |ids: &[u32]| shard_of(ids, 300).1.documents(TokenId(0)).collect::<Vec<_>>();
    assert_eq!(ranges(&[0, 5, 6, 0, 7, 0]), [1..4, 4..6]);
    assert_eq!(ranges(&[0, 0, 5]), [1..2, 2..3], "an unfinished one ends with the shard");
    assert!(ranges(&[0]).is_empty());
}

#[test]
fn any_flipped_or_missing_byte_is_noticed() {
    let (dir, shard) = shard_of(&[1, 2, 3], 300);
    drop(shard);
    let path = dir.path().join("s.tokens");
    let whole = fs::read(&path).unwrap();
    let is_refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        matches!(Shard::open(&path), Err(DataError::Shard { .. }))
    };
    // Bytes 56..64 only pad the header.
    for at in (0..56).chain(64..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(is_refused(&bytes), "byte {at} flipped");
    }
    for length in 0..whole.len() {
        assert!(is_refused(&whole[..length]), "cut to {length} bytes");
    }
    assert!(is_refused(&[&whole[..], &[0, 0]].concat()), "a token too many");
    assert!(!is_refused(&whole));
}
