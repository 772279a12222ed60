//! Transport addresses as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::{
    attr::AddressFormat,
    error::{Error, Result},
};

/// An address of a given form, checked: a provider may read it without knowing its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedAddress {
    format: AddressFormat,
    bytes: Box<[u8]>,
}

impl CheckedAddress {
    /// Checks that `bytes` are as long as the form says; text gets its NUL.
    pub(crate) fn new(format: AddressFormat, bytes: &[u8]) -> Result<CheckedAddress> {
        let bad = |text: String| Error::invalid("transport address", text);
        let mut bytes = bytes.to_vec();
        if format == AddressFormat::Str {
            if bytes.last() == Some(&0) {
                bytes.pop();
            }
            if bytes.is_empty() || bytes.contains(&0) {
                return Err(bad("text must not be empty or hold a NUL".into()));
            }
            bytes.push(0);
        } else {
            let expected = expected_length(format, &bytes)
                .ok_or_else(|| bad(format!("the length of {format} is not known")))?;
            if bytes.len() != expected {
                return Err(bad(format!("{format} takes {expected} bytes, not {}", bytes.len())));
            }
            // Providers look at the family to tell the length, whatever the format says.
            let named = match format {
                AddressFormat::SockaddrIn => Some(libc::AF_INET),
                AddressFormat::SockaddrIn6 => Some(libc::AF_INET6),
                AddressFormat::SockaddrIb => Some(AF_IB),
                _ => None,
            };
            if named.is_some() && family(&bytes) != named {
                return Err(bad(format!("the address family is not that of {format}")));
            }
        }
        Ok(CheckedAddress { format, bytes: bytes.into() })
    }

    /// Checks addresses of one form that stand behind each other: one for each of so many rails.
    pub(crate) fn of_rails(format: AddressFormat, bytes: &[u8], rails: usize) -> Result<()> {
        let each = bytes.len().checked_div(rails).filter(|each| *each > 0);
        match each.filter(|each| each * rails == bytes.len() && format != AddressFormat::Str) {
            Some(each) => bytes
                .chunks(each)
                .try_for_each(|bytes| CheckedAddress::new(format, bytes).map(drop)),
            None => Err(Error::invalid(
                "transport address",
                format!("{} bytes are no {format} for each of {rails} rails", bytes.len()),
            )),
        }
    }

    /// How many rails such bytes may be the addresses of: 1, unless the form has one length and they
    /// have a multiple of it.
    pub(crate) fn rails_of(format: AddressFormat, bytes: &[u8]) -> usize {
        let each = match format {
            AddressFormat::SockaddrIn => LENGTH_IN,
            AddressFormat::SockaddrIn6 => LENGTH_IN6,
            _ => return 1,
        };
        (bytes.len() / each).max(1)
    }

    pub(crate) fn from_socket_addr(address: SocketAddr) -> CheckedAddress {
        let (format, bytes) = encode(address);
        CheckedAddress { format, bytes: bytes.into() }
    }

    /// Whether this crate knows how long addresses of this form are.
    pub(crate) fn has_known_length(format: AddressFormat) -> bool {
        // Any family will do: only forms with a `struct sockaddr` look at it.
        let (_, any) = encode(SocketAddr::from(([0, 0, 0, 0], 0)));
        format == AddressFormat::Str || expected_length(format, &any).is_some()
    }

    pub(crate) fn format(&self) -> AddressFormat {
        self.format
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Linux's number for InfiniBand addresses; `libc` has it on Linux alone.
const AF_IB: i32 = 27;

const LENGTH_IN: usize = size_of::<libc::sockaddr_in>();
const LENGTH_IN6: usize = size_of::<libc::sockaddr_in6>();

/// How long an address of this form is.
fn expected_length(format: AddressFormat, bytes: &[u8]) -> Option<usize> {
    Some(match format {
        AddressFormat::Sockaddr | AddressFormat::SockaddrIp => match family(bytes)? {
            libc::AF_INET => LENGTH_IN,
            libc::AF_INET6 => LENGTH_IN6,
            _ => return None,
        },
        AddressFormat::SockaddrIn => LENGTH_IN,
        AddressFormat::SockaddrIn6 => LENGTH_IN6,
        AddressFormat::SockaddrIb => 48,
        AddressFormat::Psmx => 8,
        AddressFormat::Psmx2 => 16,
        AddressFormat::IbUd | AddressFormat::Efa | AddressFormat::Psmx3 => 32,
        _ => return None,
    })
}

/// The family of a `struct sockaddr`.
fn family(bytes: &[u8]) -> Option<i32> {
    let at = std::mem::offset_of!(libc::sockaddr, sa_family);
    let field = bytes.get(at..at + size_of::<libc::sa_family_t>())?;
    Some(match *field {
        [one] => i32::from(one),
        [low, high] => i32::from(u16::from_ne_bytes([low, high])),
        _ => return None,
    })
}

/// An IP address and port as libfabric takes it.
pub(crate) fn encode(address: SocketAddr) -> (AddressFormat, Vec<u8>) {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let length = if address.is_ipv4() { LENGTH_IN } else { LENGTH_IN6 };
    let mut bytes = vec![0; length];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);

    #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
    put(std::mem::offset_of!(libc::sockaddr, sa_len), &[length as u8]);
    put(
        std::mem::offset_of!(libc::sockaddr, sa_family),
        &(family as libc::sa_family_t).to_ne_bytes(),
    );
    match address {
        SocketAddr::V4(v4) => {
            put(std::mem::offset_of!(libc::sockaddr_in, sin_port), &v4.port().to_be_bytes());
            put(std::mem::offset_of!(libc::sockaddr_in, sin_addr), &v4.ip().octets());
            (AddressFormat::SockaddrIn, bytes)
        }
        SocketAddr::V6(v6) => {
            use std::mem::offset_of;
            put(offset_of!(libc::sockaddr_in6, sin6_port), &v6.port().to_be_bytes());
            put(offset_of!(libc::sockaddr_in6, sin6_flowinfo), &v6.flowinfo().to_be_bytes());
            put(offset_of!(libc::sockaddr_in6, sin6_addr), &v6.ip().octets());
            put(offset_of!(libc::sockaddr_in6, sin6_scope_id), &v6.scope_id().to_ne_bytes());
            (AddressFormat::SockaddrIn6, bytes)
        }
    }
}

/// The IP address and port in `bytes`, where the form is one of those that hold them.
pub(crate) fn decode(format: AddressFormat, bytes: &[u8]) -> Option<SocketAddr> {
    use std::mem::offset_of;
    if !matches!(
        format,
        AddressFormat::Sockaddr
            | AddressFormat::SockaddrIp
            | AddressFormat::SockaddrIn
            | AddressFormat::SockaddrIn6
    ) {
        return None;
    }
    match family(bytes)? {
        libc::AF_INET => {
            let ip: [u8; 4] = field(bytes, offset_of!(libc::sockaddr_in, sin_addr))?;
            let port = field(bytes, offset_of!(libc::sockaddr_in, sin_port))?;
            Some((IpAddr::V4(Ipv4Addr::from(ip)), u16::from_be_bytes(port)).into())
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = field(bytes, offset_of!(libc::sockaddr_in6, sin6_addr))?;
            let port = field(bytes, offset_of!(libc::sockaddr_in6, sin6_port))?;
            let flow = field(bytes, offset_of!(libc::sockaddr_in6, sin6_flowinfo))?;
            let scope = field(bytes, offset_of!(libc::sockaddr_in6, sin6_scope_id))?;
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(ip),
                u16::from_be_bytes(port),
                u32::from_be_bytes(flow),
                u32::from_ne_bytes(scope),
            )))
        }
        _ => None,
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_rails_are_checked_one_by_one() {
        let form = AddressFormat::SockaddrIn;
        let (_, one) = encode(SocketAddr::from(([127, 0, 0, 1], 7)));
        let two = [one.clone(), one.clone()].concat();
        assert_eq!(
            (CheckedAddress::rails_of(form, &one), CheckedAddress::rails_of(form, &two)),
            (1, 2)
        );
        assert!(CheckedAddress::of_rails(form, &two, 2).is_ok());
        for (bytes, rails) in [(&two, 1), (&two, 3), (&one, 2), (&two, 0), (&two, usize::MAX)] {
            assert!(CheckedAddress::of_rails(form, bytes, rails).is_err());
        }
        let odd = [one, vec![0; 16]].concat();
        assert!(CheckedAddress::of_rails(form, &odd, 2).is_err());
        assert!(CheckedAddress::of_rails(AddressFormat::Str, b"abcd", 2).is_err());
    }

    #[test]
    fn ip_addresses_survive_the_round_trip() {
        for text in ["127.0.0.1:4711", "0.0.0.0:0", "[::1]:80", "[fe80::2%7]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let (format, bytes) = encode(address);
            assert_eq!(decode(format, &bytes), Some(address), "{text}");
            assert_eq!(decode(AddressFormat::Sockaddr, &bytes), Some(address), "{text}");
        }
    }

    #[test]
    fn lengths_are_checked() {
        let (_, four) = encode("127.0.0.1:1".parse().unwrap());
        assert!(CheckedAddress::new(AddressFormat::SockaddrIn, &four).is_ok());
        assert!(CheckedAddress::new(AddressFormat::SockaddrIn, &four[..15]).is_err());
        assert!(CheckedAddress::new(AddressFormat::SockaddrIn6, &four).is_err());
        assert!(CheckedAddress::new(AddressFormat::Sockaddr, &four).is_ok());
        let (_, mut six) = encode("[::1]:1".parse().unwrap());
        six.truncate(LENGTH_IN);
        assert!(CheckedAddress::new(AddressFormat::SockaddrIn, &six).is_err());
        assert!(CheckedAddress::new(AddressFormat::Sockaddr, &[]).is_err());
        assert!(CheckedAddress::new(AddressFormat::Efa, &[0; 31]).is_err());
        assert!(CheckedAddress::new(AddressFormat::Unknown(5), &[0; 8]).is_err());
    }

    #[test]
    fn text_ends_with_one_nul() {
        let plain = CheckedAddress::new(AddressFormat::Str, b"shm://x").unwrap();
        let ended = CheckedAddress::new(AddressFormat::Str, b"shm://x\0").unwrap();
        assert_eq!(plain, ended);
        assert_eq!(plain.bytes(), b"shm://x\0");
        assert!(CheckedAddress::new(AddressFormat::Str, b"a\0b").is_err());
    }

    #[test]
    fn short_or_foreign_bytes_are_no_address() {
        assert_eq!(decode(AddressFormat::SockaddrIn, &[2, 0, 0]), None);
        assert_eq!(decode(AddressFormat::Str, b"fi_shm://1\0"), None);
    }
}
