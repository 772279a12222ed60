//! What memory is filled with.

use anyhow::bail;

const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// So many bytes of the alphabet that fabtests repeats.
#[must_use]
pub fn pattern(len: usize) -> Vec<u8> {
    ALPHABET.iter().copied().cycle().take(len).collect()
}

/// That these are the alphabet, from its beginning.
///
/// # Errors
///
/// The first byte that is not.
pub fn check(bytes: &[u8]) -> anyhow::Result<()> {
    let mut wanted = ALPHABET.iter().cycle();
    match bytes.iter().position(|byte| wanted.next() != Some(byte)) {
        None => Ok(()),
        Some(at) => {
            let wanted = char::from(ALPHABET[at % ALPHABET.len()]);
            let found = char::from(bytes[at]);
            bail!("byte {at} of {} is {found:?} and not {wanted:?}", bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_is_found() {
        let mut bytes = pattern(200);
        assert_eq!(&bytes[60..64], b"YZ01");
        check(&bytes).unwrap();
        bytes[199] ^= 1;
        assert!(check(&bytes).unwrap_err().to_string().starts_with("byte 199 of 200"));
    }
}
