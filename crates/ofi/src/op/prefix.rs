//! Room for the provider's header before a message: `FI_MSG_PREFIX` (rule B10).
//!
//! The room is a piece of memory of its own, which the operation owns and the provider may write to,
//! also in a send. What is sent or received stands beside it, so that any buffer can be sent.

use super::{RecvVerb, SendVerb, Uses};
use crate::{
    Error, Mode, Result,
    buf::{Buf, BufMut, Place, Segments},
    endpoint::{Core, Endpoint, Kind},
    error::Needs,
    threading::Threading,
};

/// A buffer with room for the provider's header before it: what is sent and received on an endpoint
/// whose [`prefix_size`](Endpoint::prefix_size) is not 0.
///
/// `head` is exactly that long, in one piece; its contents are the provider's. Where local memory has to
/// be registered (`FI_MR_LOCAL`), it is a part of a [`MemoryRegion`](crate::MemoryRegion), as `body` is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "FI_MSG_PREFIX")]
pub struct Prefixed<H, B> {
    /// The room for the header.
    pub head: H,
    /// The message.
    pub body: B,
}

impl<H, B> Prefixed<H, B> {
    /// `body`, with `head` before it.
    pub fn new(head: H, body: B) -> Prefixed<H, B> {
        Prefixed { head, body }
    }
}

impl<H: BufMut, B: Buf> Uses<Prefixed<H, B>> for SendVerb {
    fn list(buffer: &mut Prefixed<H, B>, list: &mut Segments) {
        buffer.head.segments_mut(list);
        list.end_head();
        buffer.body.segments(list);
    }

    fn moved(buffer: &mut Prefixed<H, B>, to: Place) {
        buffer.head.moved(to);
        buffer.body.moved(to);
    }
}

impl<H: BufMut, B: BufMut> Uses<Prefixed<H, B>> for RecvVerb {
    fn list(buffer: &mut Prefixed<H, B>, list: &mut Segments) {
        buffer.head.segments_mut(list);
        list.end_head();
        buffer.body.segments_mut(list);
    }

    fn moved(buffer: &mut Prefixed<H, B>, to: Place) {
        buffer.head.moved(to);
        buffer.body.moved(to);
    }
}

impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// Bytes of room that every message needs before it, for the provider's header: 0 unless the
    /// application offered to leave it ([`Hints::message_prefix`](crate::Hints::message_prefix)) and the
    /// provider took that up. Where it is not 0, messages are sent and received as [`Prefixed`]; lengths
    /// and limits are without it, and so is what is injected.
    #[must_use]
    pub fn prefix_size(&self) -> usize {
        self.core.limits.prefix as usize
    }
}

/// The room that an endpoint's messages need.
pub(crate) fn size(info: &crate::Info) -> usize {
    let mode = info.mode() | info.tx().mode() | info.rx().mode();
    if mode.contains(Mode::MSG_PREFIX) { info.endpoint().msg_prefix_size() } else { 0 }
}

/// Why a list has not the room that the endpoint needs.
#[cold]
#[inline(never)]
pub(super) fn misfit<T: Threading>(core: &Core<T>, attempted: &'static str, head: usize) -> Error {
    match (core.limits.prefix, head) {
        (0, _) => Error::invalid(attempted, "the endpoint takes no room for a header")
            .hint("send and receive the body alone"),
        (needed, 0) => Error::unsupported(attempted, Needs::Property("room for a header"))
            .detail(format!("the provider needs {needed} bytes before each message"))
            .hint("send and receive a Prefixed"),
        (_, Segments::NO_ROOM) => {
            Error::invalid(attempted, "the room for the header is in several pieces")
        }
        (needed, given) => Error::invalid(
            attempted,
            format!("the room for the header is {given} bytes long, and {needed} are needed"),
        ),
    }
}

/// What is injected, with room before it.
pub(super) fn with_room<R>(
    prefix: usize,
    bytes: &[u8],
    inject: impl FnOnce(*mut u8, usize) -> R,
) -> R {
    let mut copy = vec![0; prefix + bytes.len()];
    copy[prefix..].copy_from_slice(bytes);
    inject(copy.as_mut_ptr(), copy.len())
}

/// That the room which an endpoint's info asks for can be.
pub(crate) fn check(info: &crate::Info) -> Result<()> {
    match size(info) {
        room if room % 8 == 0 && u32::try_from(room).is_ok() => Ok(()),
        room => Err(Error::invalid("fi_endpoint", format!("a msg_prefix_size of {room}"))),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Address, Caps, CompletionQueue, Domain, EndpointType, ErrorKind, Fabric, Hints, Info, Rdm,
        Shared,
    };

    const LIMIT: Duration = Duration::from_secs(20);
    const ROOM: usize = 16;

    /// An endpoint of a provider that is made out to need room. It knows nothing of it, and carries
    /// the room along as if it were part of the message, which is what the lengths say then.
    fn endpoint(room: usize) -> Result<(Endpoint<Rdm, Shared>, CompletionQueue<Shared>, Address)> {
        let info = Hints::new()
            .provider("sockets")
            .endpoint_type(EndpointType::Rdm)
            .caps(Caps::MSG | Caps::TAGGED)
            .node("127.0.0.1")
            .source()
            .query()?
            .into_best();
        // SAFETY: numbers only; `ep_attr` is set in every answer of fi_getinfo.
        let info: Info = unsafe {
            info.duplicate_with(|copy| {
                (*copy).mode |= ofi_sys::FI_MSG_PREFIX;
                (*(*copy).ep_attr).msg_prefix_size = room;
            })?
        };
        let domain: Domain = Fabric::open(&info)?.domain(&info)?;
        let (queue, av) = (domain.completion_queue().open()?, domain.address_vector().open()?);
        let builder = domain.endpoint::<Rdm>(&info).address_vector(&av).completion_queue(&queue);
        let ep = builder.enable()?;
        let to = av.insert(&ep.name()?)?;
        Ok((ep, queue, to))
    }

    fn room() -> Vec<u8> {
        vec![0xff; ROOM]
    }

    // rule: B10
    #[test]
    fn messages_go_with_room_and_lengths_without() {
        let (ep, _queue, to) = endpoint(ROOM).unwrap();
        assert_eq!(ep.prefix_size(), ROOM);
        let receive = ep.recv(Prefixed::new(room(), vec![0; 32])).post().unwrap();
        let send = ep.send(Prefixed::new(room(), "a message"), to).wait(LIMIT).unwrap();
        assert_eq!(send.1.body, "a message");
        let (received, buffer) = receive.wait(LIMIT).unwrap();
        assert_eq!(&buffer.body[..received.len()], b"a message");
        // Tagged, in pieces, and what is injected brings its room along.
        let receive = ep.recv(Prefixed::new(room(), [vec![0; 4], vec![0; 8]])).tag(3);
        let receive = receive.post().unwrap();
        ep.send("in pieces", to).tag(3).inject().unwrap();
        let (received, buffer) = receive.wait(LIMIT).unwrap();
        assert_eq!((received.len(), received.tag()), (9, Some(3)));
        assert_eq!(buffer.body.concat()[..9], *b"in pieces");
        // This provider counts the room; its limit as such is without.
        let most = vec![7; ep.inject_size() - ROOM];
        let receive = ep.recv(Prefixed::new(room(), vec![0; most.len() + 1])).post().unwrap();
        ep.send(&most, to).inject().unwrap();
        assert_eq!(receive.wait(LIMIT).unwrap().0.len(), most.len());
        let error = ep.send(vec![7; ep.inject_size() + 1], to).inject().unwrap_err();
        assert!(matches!(error.error.kind(), ErrorKind::TooLarge { .. }));
    }

    // rule: B10
    #[test]
    fn a_buffer_without_the_right_room_is_refused() {
        let (ep, queue, to) = endpoint(ROOM).unwrap();
        let unsupported = |error: &Error| {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        };
        unsupported(&ep.send("bare", to).post().unwrap_err().error);
        unsupported(&ep.recv(vec![0; 64]).post().unwrap_err().error);
        for head in [vec![], vec![0; ROOM - 8], vec![0; ROOM + 8]] {
            let failed = ep.send(Prefixed::new(head.clone(), "x"), to).post().unwrap_err();
            assert_eq!(failed.error.kind() == &ErrorKind::Invalid, !head.is_empty());
            let failed = ep.recv(Prefixed::new(head, vec![0; 8])).post().unwrap_err();
            assert!(failed.error.to_string().contains("16"), "{}", failed.error);
        }
        let scattered = [vec![0; ROOM / 2], vec![0; ROOM / 2]];
        let failed = ep.send(Prefixed::new(scattered, "x"), to).post().unwrap_err();
        assert!(failed.error.to_string().contains("pieces"));
        drop(queue);
        // And room where none is needed.
        let (ep, _queue, to) = endpoint(0).unwrap();
        let failed = ep.send(Prefixed::new(room(), "x"), to).post().unwrap_err();
        assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
        assert!(endpoint(12).is_err());
    }
}
