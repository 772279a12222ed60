//! Further ways into an address vector: many addresses at once, host names, numbered hosts.

use std::{
    ffi::{c_char, c_void},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::*;
use crate::{
    Errno, ErrorKind,
    error::Needs,
    quirks::{self, Defect},
};

const SERVICE: &str = "fi_av_insertsvc";

/// libfabric's `FI_NAME_MAX`: longer names overflow buffers of some providers.
const NAME_MAX: usize = ofi_sys::FI_NAME_MAX;

impl<T: Threading> AddressVector<T> {
    /// Inserts many addresses, in as few calls as the provider's form of addresses allows. Each
    /// has its own result, in order (rule A5): one that cannot be inserted keeps out no other.
    #[doc(alias = "fi_av_insert")]
    #[doc(alias = "FI_SYNC_ERR")]
    pub fn insert_all<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a FabricAddress>,
    ) -> Vec<Result<Address>> {
        let addresses: Vec<&FabricAddress> = addresses.into_iter().collect();
        // An array has one step for all. Text, and forms whose length only the provider knows, go
        // one by one, as do those that cannot be right.
        let width = addresses.first().map_or(0, |first| first.bytes().len());
        let uniform = addresses.len() > 1
            && !self.0.inserts_hosts()
            && matches!(self.0.ids, Ids::None)
            && self.0.format != AddressFormat::Str
            && CheckedAddress::has_known_length(self.0.format)
            && addresses.iter().all(|address| {
                address.format() == self.0.format
                    && address.bytes().len() == width
                    && CheckedAddress::new(self.0.format, address.bytes()).is_ok()
            });
        if uniform {
            self.insert_array(&addresses)
        } else {
            addresses.into_iter().map(|a| self.insert(a)).collect()
        }
    }

    /// Inserts the address of a host (a name or a number) and a service (a port or its name), as
    /// the provider resolves them.
    ///
    /// # Errors
    ///
    /// `Invalid` for text with a NUL in it; `Unsupported` where the provider resolves nothing (shm,
    /// sm2, rxd); `NotFound` if there is no such host, or what else the provider says.
    #[doc(alias = "fi_av_insertsvc")]
    pub fn insert_service(&self, node: &str, service: &str) -> Result<Address> {
        self.without_id(SERVICE)?;
        let host = (Text::new(node, SERVICE)?, Text::new(service, SERVICE)?);
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        let raw = self.0.insert_host(&host).map_err(|error| unresolved(error, node))?;
        let raw = raw.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, SERVICE)
                .detail(format!("{node:?} {service:?} was not inserted"))
        })?;
        self.adopt(&mut table, raw)
    }

    /// Inserts the addresses of numbered hosts: `nodes` hosts from `node` on, by counting up its
    /// number ("rack1-7", "rack1-8", …; or the last part of an IP address), and for each `services`
    /// ports from `service` on. In the order of hosts, then ports; each has its own result.
    ///
    /// # Errors
    ///
    /// `Invalid` for no host, no port, ports beyond 65535, or a name that is empty or longer than
    /// 63 bytes; `Unsupported` where the provider resolves nothing; `NotFound` if there is no such
    /// host, or what else the provider says.
    #[doc(alias = "fi_av_insertsym")]
    pub fn insert_symmetric(
        &self,
        node: &str,
        nodes: usize,
        service: u16,
        services: usize,
    ) -> Result<Vec<Result<Address>>> {
        const NAME: &str = "fi_av_insertsym";
        /// More than any fabric has, and within what a provider counts in.
        const MOST: usize = 1 << 20;
        self.without_id(NAME)?;
        if nodes == 0 || services == 0 || services > 65536 - usize::from(service) {
            return Err(Error::invalid(
                NAME,
                format!("{nodes} hosts and {services} ports from {service}"),
            ));
        }
        let count = nodes.checked_mul(services).filter(|count| *count <= MOST);
        let count = count.ok_or_else(|| Error::new(ErrorKind::TooLarge { limit: MOST }, NAME))?;
        let name = Text::new(node, NAME)?;
        let provider = self.0.domain.info.provider();
        // Names: providers resolve the first one over and over.
        let one_by_one = node.parse::<IpAddr>().is_err()
            || quirks::quirk(provider, Defect::SymmetricOverwrites).is_some();
        if one_by_one {
            let ports = || (0..services).map(move |i| (usize::from(service) + i).to_string());
            let hosts = (0..nodes).map(|i| counted_up(node, i));
            let pairs = hosts.flat_map(|host| ports().map(move |port| (host.clone(), port)));
            let mut results: Vec<_> =
                pairs.map(|(host, port)| self.insert_service(&host, &port)).collect();
            // All for the same reason, which is none of theirs.
            return match results.iter().position(|r| !matches!(r, Err(e) if is_absent(e))) {
                None => Err(results.remove(0).expect_err("all have failed")),
                Some(_) => Ok(results),
            };
        }
        let service = Text::new(&service.to_string(), NAME)?;
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        let mut raws = vec![ofi_sys::FI_ADDR_NOTAVAIL; count];
        // SAFETY: the vector is open, both texts end in NUL, there is room for every number.
        let status = unsafe {
            ofi_sys::fi_av_insertsym(
                self.0.fid.as_ptr(),
                name.as_ptr(),
                nodes,
                service.as_ptr(),
                services,
                raws.as_mut_ptr(),
                0,
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), NAME).map_err(|error| unresolved(error, node))?;
        Ok(raws
            .into_iter()
            .map(|raw| match raw {
                ofi_sys::FI_ADDR_NOTAVAIL => {
                    Err(Error::new(ErrorKind::NotFound, NAME)
                        .detail("the provider did not insert it"))
                }
                raw => self.adopt(&mut table, raw),
            })
            .collect())
    }

    /// An address as text, in the provider's own words.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is not of the vector's form, or the provider cannot say.
    #[doc(alias = "fi_av_straddr")]
    pub fn text(&self, address: &FabricAddress) -> Result<String> {
        const NAME: &str = "fi_av_straddr";
        let bytes = self.checked(address)?;
        let mut room = vec![0_u8; 128];
        for _ in 0..2 {
            let mut length = room.len();
            // SAFETY: the vector is open; the address is of its form, with zeroes behind it; the
            // room is as long as stated.
            let words = unsafe {
                ofi_sys::fi_av_straddr(
                    self.0.fid.as_ptr(),
                    bytes.as_ptr().cast(),
                    room.as_mut_ptr().cast(),
                    &raw mut length,
                )
            };
            if words.is_null() {
                break;
            }
            // It was cut: `length` is what it takes (rule A6).
            if length > room.len() {
                room.resize(length, 0);
                continue;
            }
            // Providers end it in a NUL, except where it fills the room.
            let end = room.iter().position(|byte| *byte == 0);
            let said = &room[..end.unwrap_or(room.len())];
            return Ok(String::from_utf8_lossy(said).into_owned());
        }
        Err(Error::invalid(NAME, "the provider has no text for it"))
    }

    /// Inserts addresses of the vector's form that are equally long.
    fn insert_array(&self, addresses: &[&FabricAddress]) -> Vec<Result<Address>> {
        const NAME: &str = "fi_av_insert";
        /// More than any provider's address.
        const PADDING: usize = 512;
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        // Each only once, and none that is known (rule A3).
        let mut fresh: Vec<&[u8]> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for address in addresses {
            let bytes = address.bytes();
            if table.known.contains_key(bytes) || !seen.insert(bytes) {
                continue;
            }
            match table.revive(bytes) {
                // Counted below, as the new ones are.
                Some(_) => table.uncount(bytes),
                None if local::is_gone(bytes) => {}
                None => fresh.push(bytes),
            }
        }
        let mut array = fresh.concat();
        array.resize(array.len() + PADDING, 0);
        let mut raws = vec![ofi_sys::FI_ADDR_NOTAVAIL; fresh.len()];
        let refused = match fresh.is_empty() {
            true => None,
            false => self.insert_raw(&array, &mut raws).err(),
        };
        let mut errors: HashMap<&[u8], Error> = HashMap::new();
        for (bytes, raw) in fresh.into_iter().zip(raws) {
            if raw == ofi_sys::FI_ADDR_NOTAVAIL {
                let error = refused.clone().unwrap_or_else(|| {
                    Error::invalid(NAME, "the provider did not take the address")
                });
                errors.insert(bytes, error);
            } else {
                table.add(self.0.id, raw, raw, bytes);
                // Counted below, once for each time it is in the list.
                table.uncount(bytes);
            }
        }
        addresses
            .iter()
            .map(|address| match table.known.get_mut(address.bytes()) {
                Some(known) => {
                    known.count += 1;
                    Ok(known.address)
                }
                None => Err(errors.get(address.bytes()).cloned().unwrap_or_else(|| {
                    Error::new(crate::ErrorKind::StaleAddress, NAME)
                        .detail(format!("{address} was an endpoint of this process"))
                })),
            })
            .collect()
    }

    /// One call of `fi_av_insert` for an array of addresses.
    ///
    /// Which were taken is in `raws`: the count that the call returns says only how many.
    fn insert_raw(&self, array: &[u8], raws: &mut [u64]) -> Result<()> {
        // SAFETY: the vector is open; the array has an address of its form for each number, and
        // zeroes behind them.
        let status = unsafe {
            ofi_sys::fi_av_insert(
                self.0.fid.as_ptr(),
                array.as_ptr().cast::<c_void>(),
                raws.len(),
                raws.as_mut_ptr(),
                0,
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), "fi_av_insert").map(drop)
    }

    /// Takes over an address that the provider resolved itself: which it is, only it can say.
    fn adopt(&self, table: &mut AddressTable, raw: u64) -> Result<Address> {
        let bytes = match self.looked_up(raw) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.discard(raw);
                return Err(error);
            }
        };
        let known = table.known.get_mut(&*bytes).map(|known| {
            known.count += 1;
            known.address
        });
        match known.or_else(|| table.revive(&bytes)) {
            Some(address) => {
                // Some providers have made a second entry of it, some gave the first again.
                if address.raw != raw {
                    self.discard(raw);
                }
                Ok(address)
            }
            None => Ok(table.add(self.0.id, raw, raw, &bytes)),
        }
    }

    /// The bytes of an entry that the provider has.
    pub(super) fn looked_up(&self, raw: u64) -> Result<Vec<u8>> {
        let bytes = crate::endpoint::address_of(|room, length| {
            // SAFETY: the vector is open and the number is one it gave out; `length` bytes may be
            // written.
            unsafe { ofi_sys::fi_av_lookup(self.0.fid.as_ptr(), raw, room, length) }
        })?;
        Ok(FabricAddress::from_provider(self.0.format, &bytes).bytes().to_vec())
    }

    /// Takes an entry out that nothing names.
    pub(super) fn discard(&self, raw: u64) {
        self.0.take_out(raw);
    }
}

impl<T: Threading> AvCore<T> {
    /// Whether addresses go in as hosts and ports (quirk 18).
    fn inserts_hosts(&self) -> bool {
        quirks::quirk(self.domain.info.provider(), Defect::InsertFollowsGone).is_some()
    }

    /// The host and the port of an address, where it goes in as these.
    pub(super) fn as_host(&self, bytes: &[u8]) -> Option<(Text, Text)> {
        if !self.inserts_hosts() {
            return None;
        }
        let address = crate::info::decode(self.format, bytes)?;
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        let port = address.port().to_string();
        Some((Text::new(&host, SERVICE).ok()?, Text::new(&port, SERVICE).ok()?))
    }

    /// Inserts the address of a host and a service. `None` if the provider does not take it.
    pub(super) fn insert_host(&self, (host, service): &(Text, Text)) -> Result<Option<u64>> {
        let mut raw = ofi_sys::FI_ADDR_NOTAVAIL;
        // SAFETY: the vector is open, both texts end in NUL, one number is written.
        let status = unsafe {
            ofi_sys::fi_av_insertsvc(
                self.fid.as_ptr(),
                host.as_ptr(),
                service.as_ptr(),
                &raw mut raw,
                0,
                std::ptr::null_mut(),
            )
        };
        let count = check(i64::from(status), SERVICE)?;
        Ok((count == 1 && raw != ofi_sys::FI_ADDR_NOTAVAIL).then_some(raw))
    }
}

/// Text that ends in NUL, fits a provider's buffers, and has a NUL before it, too: providers look
/// for the digits at its end without minding its beginning.
pub(super) struct Text(Vec<u8>);

impl Text {
    fn new(words: &str, attempted: &'static str) -> Result<Text> {
        if words.is_empty() || words.len() >= NAME_MAX {
            return Err(Error::invalid(
                attempted,
                format!("{words:?} is not 1 to {} bytes long", NAME_MAX - 1),
            ));
        }
        if words.contains('\0') {
            return Err(Error::invalid(attempted, format!("{words:?} has a NUL in it")));
        }
        Ok(Text([b"\0", words.as_bytes(), b"\0"].concat()))
    }

    fn as_ptr(&self) -> *const c_char {
        self.0[1..].as_ptr().cast()
    }
}

/// The name of the host that is `steps` behind `node`: its address, or the number at its end (in as
/// many digits), counted up.
fn counted_up(node: &str, steps: usize) -> String {
    match node.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => Ipv4Addr::from(u32::from(ip).wrapping_add(steps as u32)).to_string(),
        Ok(IpAddr::V6(ip)) => {
            Ipv6Addr::from(u128::from(ip).wrapping_add(steps as u128)).to_string()
        }
        Err(_) => {
            let name = node.trim_end_matches(|c: char| c.is_ascii_digit());
            let digits = &node[name.len()..];
            match digits.parse::<u64>() {
                Ok(number) => {
                    let number = number.saturating_add(steps as u64);
                    format!("{name}{number:0width$}", width = digits.len())
                }
                // No number to count up: only the first has this name.
                Err(_) if steps == 0 => node.to_owned(),
                Err(_) => format!("{node}{steps}"),
            }
        }
    }
}

fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported { .. })
}

/// What a provider answers that resolves nothing, and one that found nothing.
fn unresolved(error: Error, node: &str) -> Error {
    // Most pass on what getaddrinfo said, as if it were an errno.
    let found_nothing = [libc::EAI_NONAME, libc::EAI_SERVICE].map(i32::abs);
    match error.errno() {
        Some(errno) if errno == Errno::EADDRNOTAVAIL || found_nothing.contains(&errno.raw()) => {
            Error::new(ErrorKind::NotFound, "fi_av_insertsvc").detail(node)
        }
        _ => error
            .detail(node)
            .absent(Needs::Property("a provider that resolves hosts and services")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // peers 7: text goes to C with its NUL, or not at all.
    #[test]
    fn text_ends_in_one_nul_and_begins_behind_one() {
        let text = Text::new("7471", "x").unwrap();
        assert_eq!(text.0, b"\x007471\0");
        // SAFETY: within the text.
        assert_eq!(unsafe { *text.as_ptr() } as u8, b'7');
        for bad in ["", "a\0b", &"x".repeat(64)] {
            assert_eq!(*Text::new(bad, "x").err().unwrap().kind(), ErrorKind::Invalid);
        }
        assert!(Text::new(&"x".repeat(63), "x").is_ok());
    }

    #[test]
    fn hosts_are_counted_up() {
        assert_eq!(counted_up("127.0.0.254", 3), "127.0.1.1");
        assert_eq!(counted_up("::1", 1), "::2");
        assert_eq!(counted_up("rack1-7", 3), "rack1-10");
        assert_eq!(counted_up("node01", 8), "node09");
        assert_eq!(counted_up("node09", 1), "node10");
        assert_eq!((counted_up("host", 0), counted_up("host", 2)), ("host".into(), "host2".into()));
    }
}
