//! Compressed extents unpacked, for files that the kernel does not let have them as they are. Knows
//! the kinds of compression by the kernel's numbers, and no file.

use crate::stream::instruction::Encoded;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use ruzstd::decoding::StreamingDecoder;
use std::io::{self, Read};
use std::ops::RangeInclusive;

/// `BTRFS_ENCODED_IO_COMPRESSION_ZLIB`, and the others of its kind.
const ZLIB: u32 = 1;
const ZSTD: u32 = 2;
/// One for each size of a page.
const LZO: RangeInclusive<u32> = 3..=7;

/// No extent of the kernel's has more bytes unpacked.
const LONGEST: u64 = 128 << 10;
/// No frame of the kernel's looks further back; a damaged one must not take memory.
const WINDOW: u64 = 1 << 20;

/// The bytes of the file that an extent stands for.
///
/// # Errors
/// If they are packed in a way that is not known here, or not packed so.
pub(super) fn unpack(extent: &Encoded) -> io::Result<Vec<u8>> {
    if extent.unencoded_len > LONGEST {
        return Err(damaged());
    }
    // What a file has beyond the packed bytes is zeros.
    let mut all = vec![0; extent.unencoded_len as usize];
    match extent.compression {
        ZLIB => inflate(extent.data, &mut all)?,
        ZSTD => decode(extent.data, &mut all)?,
        kind if LZO.contains(&kind) => {
            return Err(io::Error::other(
                "the kernel does not take this extent as it is, and LZO is not unpacked here: receive it \
                 with --receive-with btrfs, or send without --compressed-data",
            ));
        }
        kind => {
            let said = format!("the stream has a compressed extent of an unknown kind ({kind})");
            return Err(io::Error::other(said));
        }
    }
    let start = extent.unencoded_offset.min(LONGEST);
    let part = start as usize..start.saturating_add(extent.len.min(LONGEST)) as usize;
    let part = all.get(part).ok_or_else(damaged)?;
    match part.len() as u64 == extent.len {
        true => Ok(part.to_vec()),
        false => Err(damaged()),
    }
}

fn inflate(packed: &[u8], all: &mut [u8]) -> io::Result<()> {
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    match decompress(&mut DecompressorOxide::new(), packed, all, 0, flags).0 {
        // An extent may hold more than the file had of it.
        TINFLStatus::Done | TINFLStatus::HasMoreOutput => Ok(()),
        _ => Err(damaged()),
    }
}

fn decode(packed: &[u8], all: &mut [u8]) -> io::Result<()> {
    let decoder = StreamingDecoder::new_with_max_window_size(packed, WINDOW);
    let mut decoder = decoder.map_err(|_| damaged())?;
    let mut have = 0;
    while have < all.len() {
        match decoder.read(&mut all[have..]).map_err(|_| damaged())? {
            0 => break,
            n => have += n,
        }
    }
    Ok(())
}

fn damaged() -> io::Error {
    io::Error::other("the stream has a compressed extent that cannot be unpacked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(compression: u32, data: &[u8], len: u64) -> Encoded<'_> {
        Encoded {
            offset: 0,
            data,
            len,
            unencoded_len: 4096,
            unencoded_offset: 10,
            compression,
        }
    }

    /// `zlib.compress(b"0123456789abcdef" * 4)`, and what a sector has after it.
    const PACKED: &[u8] = b"\x78\x9c\x33\x30\x34\x32\x36\x31\x35\x33\xb7\xb0\x4c\x4c\x4a\x4e\
        \x49\x4d\x33\x20\x91\x0f\x00\x22\x8a\x11\x89\0\0\0\0";

    #[test]
    fn a_part_of_an_extent_is_unpacked() {
        let some = unpack(&extent(ZLIB, PACKED, 60)).unwrap();
        assert_eq!(&some[..8], b"abcdef01");
        assert_eq!(&some[53..], [b'f', 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_no_extent_is_refused() {
        let huge = Encoded {
            unencoded_len: u64::MAX,
            ..extent(ZLIB, PACKED, 1)
        };
        let beyond = extent(ZLIB, PACKED, 4090);
        for wrong in [
            huge,
            beyond,
            extent(ZLIB, b"\x78\x9cgarbage", 1),
            extent(ZSTD, PACKED, 1),
            extent(ZSTD, b"\x28\xb5\x2f\xfd\xff\xff\xff", 1),
            extent(4, PACKED, 1),
            extent(9, PACKED, 1),
        ] {
            assert!(unpack(&wrong).is_err(), "{wrong:?}");
        }
    }

    /// Whatever the bytes are, they take no more memory than an extent has, and come to an end.
    #[test]
    fn any_bytes_come_to_an_end() {
        let mut state = 1u64;
        for round in 0..2000 {
            let mut bytes = PACKED.to_vec();
            if round % 2 == 1 {
                bytes.splice(..2, *b"\x28\xb5\x2f\xfd\x20\x30");
            }
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 24) as u8;
            for kind in [ZLIB, ZSTD] {
                if let Ok(some) = unpack(&extent(kind, &bytes, 60)) {
                    assert_eq!(some.len(), 60);
                }
            }
        }
    }
}
