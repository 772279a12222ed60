//! The one error of this crate, and what becomes of a buffer when an operation fails.

use std::{
    fmt, io,
    sync::{Arc, LazyLock},
};

use crate::{Errno, Version};

/// What went wrong, in one pointer: what was attempted, what came back, whom to blame, what to do.
///
/// Cheap to clone. `?` turns it into a [`std::io::Error`] where that is asked for.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    attempted: &'static str,
    errno: Option<Errno>,
    provider_errno: i32,
    provider_text: Option<Box<str>>,
    detail: Option<Box<str>>,
    hint: Option<Box<str>>,
    posted: bool,
}

/// The kind of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call into libfabric, or the operation, failed with [`Error::errno`].
    Failed,
    /// Nothing was posted: queues are full or a connection is being made. Make progress, try again.
    Busy,
    /// The message was longer than the buffer posted for it.
    Truncated,
    /// The operation was cancelled.
    Cancelled,
    /// The endpoint (or the object that was waited on) is closed.
    Closed,
    /// The other side went away or refused.
    Peer,
    /// A deadline passed.
    TimedOut,
    /// Larger than the provider or the budget takes.
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// The running libfabric, the provider, or the endpoint as it was opened does not offer this.
    Unsupported {
        /// What would offer it.
        needs: Needs,
    },
    /// Nothing matches what was asked for.
    NotFound,
    /// The caller's own mistake, found before libfabric saw it.
    Invalid,
    /// An address that is not (or no longer) in this endpoint's address vector.
    StaleAddress,
    /// This process is a fork of the one that opened the object: fabric resources do not survive.
    Forked,
    /// libfabric could not be loaded.
    Load,
}

/// What an unsupported call would need.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// A libfabric of at least this version at run time.
    Version(Version),
    /// A capability that was not asked for, or that the provider does not have: its C name.
    Capability(&'static str),
    /// A wait object or other property of the object, in words.
    Property(&'static str),
    /// The `dlopen` feature: a build linked to an older libfabric cannot pass this on.
    Dlopen,
}

/// Whom an [`Error`] concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// This operation only; the next one may succeed.
    Operation,
    /// The peer: operations to others are not affected.
    Peer,
    /// This node's fabric objects: endpoint, queue, device.
    Node,
    /// This machine: memory, files, limits, installation.
    Local,
    /// The calling code.
    Caller,
}

impl Error {
    /// An error of `kind` while `attempted` (the C call's name, or a phrase).
    #[must_use]
    pub(crate) fn new(kind: ErrorKind, attempted: &'static str) -> Error {
        Error(Arc::new(Inner {
            kind,
            attempted,
            errno: None,
            provider_errno: 0,
            provider_text: None,
            detail: None,
            hint: None,
            posted: false,
        }))
    }

    /// The caller's mistake, in words.
    pub(crate) fn invalid(attempted: &'static str, detail: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, attempted).detail(detail)
    }

    /// Something that is not offered here.
    pub(crate) fn unsupported(attempted: &'static str, needs: Needs) -> Error {
        Error::new(ErrorKind::Unsupported { needs }, attempted)
    }

    /// The failure of a libfabric call: classifies `errno`.
    pub(crate) fn from_errno(errno: Errno, attempted: &'static str) -> Error {
        let kind = match errno {
            Errno::EAGAIN => ErrorKind::Busy,
            Errno::ETRUNC => ErrorKind::Truncated,
            Errno::ECANCELED => ErrorKind::Cancelled,
            Errno::ETIMEDOUT => ErrorKind::TimedOut,
            Errno::ENODATA => ErrorKind::NotFound,
            Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::ECONNABORTED
            | Errno::ENOTCONN
            | Errno::ESHUTDOWN
            | Errno::EHOSTUNREACH
            | Errno::EHOSTDOWN => ErrorKind::Peer,
            _ => ErrorKind::Failed,
        };
        let mut error = Error::new(kind, attempted);
        error.inner().errno = Some(errno);
        error
    }

    /// The shared value for `-FI_EAGAIN`: backpressure must not allocate.
    pub(crate) fn busy() -> Error {
        static BUSY: LazyLock<Error> = LazyLock::new(|| {
            Error::from_errno(Errno::EAGAIN, "post").hint(
                "make progress on the endpoint's completion queues and post again, or await the \
                 operation: it then queues",
            )
        });
        BUSY.clone()
    }

    /// The shared value for an object that was closed underneath.
    pub(crate) fn closed(attempted: &'static str) -> Error {
        Error::new(ErrorKind::Closed, attempted)
    }

    /// Turns "the provider has no such call" into what would be needed instead.
    pub(crate) fn absent(mut self, needs: Needs) -> Error {
        if matches!(self.errno(), Some(Errno::ENOSYS | Errno::EOPNOTSUPP)) {
            self.inner().kind = ErrorKind::Unsupported { needs };
        }
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Error {
        self.inner().detail = Some(detail.into().into_boxed_str());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Error {
        self.inner().hint = Some(hint.into().into_boxed_str());
        self
    }

    pub(crate) fn provider(mut self, errno: i32, text: Option<String>) -> Error {
        let inner = self.inner();
        inner.provider_errno = errno;
        inner.provider_text = text.filter(|t| !t.is_empty()).map(String::into_boxed_str);
        self
    }

    pub(crate) fn posted(mut self) -> Error {
        self.inner().posted = true;
        self
    }

    /// The kind, for a `match`.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// libfabric's error number, where it came from libfabric.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// The provider's own error number from the error entry (`prov_errno`), 0 if there was none.
    #[must_use]
    pub fn provider_errno(&self) -> i32 {
        self.0.provider_errno
    }

    /// The provider's own text for it.
    #[must_use]
    #[doc(alias = "fi_cq_strerror")]
    #[doc(alias = "fi_eq_strerror")]
    pub fn provider_text(&self) -> Option<&str> {
        self.0.provider_text.as_deref()
    }

    /// What was being attempted: the C call's name or a phrase.
    #[must_use]
    pub fn attempted(&self) -> &str {
        self.0.attempted
    }

    /// What to do about it, where this crate knows.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the operation had been posted when it failed: a posted one may have had effects on
    /// the peer, one that was not cannot.
    #[must_use]
    pub fn was_posted(&self) -> bool {
        self.0.posted
    }

    /// Whether this is backpressure: nothing was posted, make progress and try again.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.kind == ErrorKind::Busy
    }

    /// Whom this concerns.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.0.kind {
            ErrorKind::Busy | ErrorKind::Truncated | ErrorKind::Cancelled | ErrorKind::TimedOut => {
                Scope::Operation
            }
            ErrorKind::Peer => Scope::Peer,
            ErrorKind::Closed => Scope::Node,
            ErrorKind::NotFound | ErrorKind::Load => Scope::Local,
            ErrorKind::TooLarge { .. }
            | ErrorKind::Unsupported { .. }
            | ErrorKind::Invalid
            | ErrorKind::StaleAddress
            | ErrorKind::Forked => Scope::Caller,
            ErrorKind::Failed => match self.0.errno {
                Some(Errno::ENOMEM | Errno::EMFILE | Errno::ENOSPC | Errno::EACCES) => Scope::Local,
                Some(Errno::EINVAL | Errno::EBADFLAGS | Errno::EMSGSIZE) => Scope::Caller,
                Some(Errno::EOVERRUN | Errno::ENODEV | Errno::ENETDOWN | Errno::EBUSY) => {
                    Scope::Node
                }
                Some(Errno::EIO | Errno::ENOENT | Errno::EREMOTEIO) if self.0.posted => Scope::Peer,
                _ => Scope::Operation,
            },
        }
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}: ", inner.attempted)?;
        match &inner.kind {
            ErrorKind::Busy => f.write_str("busy, nothing was posted")?,
            ErrorKind::Truncated => f.write_str("the message was longer than the buffer")?,
            ErrorKind::Cancelled => f.write_str("cancelled")?,
            ErrorKind::Closed => f.write_str("closed")?,
            ErrorKind::TimedOut => f.write_str("timed out")?,
            ErrorKind::TooLarge { limit } => write!(f, "too large, the limit is {limit}")?,
            ErrorKind::Unsupported { needs } => write!(f, "not supported here, needs {needs}")?,
            ErrorKind::NotFound if inner.errno.is_none() => f.write_str("nothing found")?,
            ErrorKind::Invalid => f.write_str("invalid argument")?,
            ErrorKind::StaleAddress => {
                f.write_str("the address is not, or no longer, in the endpoint's address vector")?;
            }
            ErrorKind::Forked => f.write_str("the object belongs to the parent of this fork")?,
            ErrorKind::Load => f.write_str("libfabric cannot be loaded")?,
            ErrorKind::Failed | ErrorKind::Peer | ErrorKind::NotFound => f.write_str("failed")?,
        }
        if let Some(errno) = inner.errno {
            write!(f, " [{errno}]")?;
        }
        if let Some(text) = &inner.provider_text {
            write!(f, "; the provider says: {text} ({})", inner.provider_errno)?;
        } else if inner.provider_errno != 0 {
            write!(f, "; provider error {}", inner.provider_errno)?;
        }
        if let Some(detail) = &inner.detail {
            write!(f, "; {detail}")?;
        }
        if let Some(hint) = &inner.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Needs::Version(version) => write!(f, "libfabric {version} or newer"),
            Needs::Capability(name) => write!(f, "the capability {name}"),
            Needs::Property(words) => f.write_str(words),
            Needs::Dlopen => f.write_str("a build with the `dlopen` feature"),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        let kind = match error.kind() {
            ErrorKind::Busy => io::ErrorKind::WouldBlock,
            ErrorKind::Cancelled => io::ErrorKind::Interrupted,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Closed => io::ErrorKind::NotConnected,
            ErrorKind::Unsupported { .. } => io::ErrorKind::Unsupported,
            ErrorKind::Invalid | ErrorKind::TooLarge { .. } | ErrorKind::StaleAddress => {
                io::ErrorKind::InvalidInput
            }
            _ => match error.errno() {
                Some(errno) if errno.raw() < 256 => {
                    io::Error::from_raw_os_error(errno.raw()).kind()
                }
                _ => io::ErrorKind::Other,
            },
        };
        io::Error::new(kind, error)
    }
}

/// Turns a libfabric return value into a `Result`: negative is an errno, the rest is the value.
///
/// The only place that looks at the sign.
#[inline]
pub(crate) fn check(status: impl Into<i64>, attempted: &'static str) -> Result<usize> {
    let status = status.into();
    match usize::try_from(status) {
        Ok(value) => Ok(value),
        Err(_) => Err(failed(status, attempted)),
    }
}

#[cold]
fn failed(status: i64, attempted: &'static str) -> Error {
    Error::from_errno(Errno::from_raw(i32::try_from(status).unwrap_or(i32::MIN)), attempted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn says_what_was_attempted_and_what_came_back() {
        let error = Error::from_errno(Errno::EIO, "fi_send")
            .provider(77, Some("link lost".into()))
            .hint("check the cable");
        let text = error.to_string();
        for part in ["fi_send", "EIO", "link lost", "77", "check the cable"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }

    #[test]
    fn sign_is_checked_once() {
        assert_eq!(check(7_i64, "x").unwrap(), 7);
        assert!(check(-i64::from(Errno::EAGAIN.raw()), "x").unwrap_err().is_busy());
    }

    #[test]
    fn converts_to_io_error_and_back_to_words() {
        let io: io::Error = Error::busy().into();
        assert_eq!(io.kind(), io::ErrorKind::WouldBlock);
        assert!(io.to_string().contains("busy"));
    }
}
