//! zstd frames → bytes

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy::UptoBlocks,
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// Reads all frames of a stream, one after the other, as parallel compressors write them.
pub(super) struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    is_within_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), is_within_frame: false }
    }

    /// Begin the next frame; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Check a finished frame against the checksum that it may carry.
    fn finish_frame(&mut self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(promised), Some(found)) if promised != found => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame does not match"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_within_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.is_within_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, UptoBlocks(1)).map_err(io::Error::other)?;
            }
            let len = self.decoder.read(out)?;
            if len > 0 {
                return Ok(len);
            }
            self.finish_frame()?;
            self.is_within_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel::Fastest, compress_to_vec};

    use super::*;

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Zstd::new(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn all_frames_are_read_and_skippable_ones_skipped() {
        let text = b"a line that comes back, ".repeat(20_000);
        let frame = compress_to_vec(&text[..], Fastest);
        let skippable = [&0x184d_2a51u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"any"].concat();
        let stream = [&frame[..], &skippable, &compress_to_vec(&b""[..], Fastest), &frame].concat();
        assert!(unpack(&stream).expect("a stream") == [&text[..], &text].concat());
        assert!(unpack(b"").expect("no frame").is_empty());
    }

    #[test]
    fn what_breaks_off_or_is_damaged_is_an_error() {
        let frame = compress_to_vec(&b"some text, some more text".repeat(50)[..], Fastest);
        for length in 1..frame.len() {
            assert!(unpack(&frame[..length]).is_err(), "{length} of {} bytes", frame.len());
        }
        let mut damaged = frame.clone();
        *damaged.last_mut().expect("bytes") ^= 1; // of the checksum
        assert!(unpack(&damaged).expect_err("a checksum").to_string().contains("checksum"));
    }
}
