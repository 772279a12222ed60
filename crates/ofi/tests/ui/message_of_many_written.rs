//! A message in a buffer that others are in, too, is read and not written.
// rule: B23

use ofi::MultiRecvMessage;

fn main() {}

fn writes(mut message: MultiRecvMessage<Vec<u8>>) {
    message[0] = 1;
}
