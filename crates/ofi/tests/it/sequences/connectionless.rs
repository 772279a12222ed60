//! Programs over endpoints that name their destinations.

use std::time::Duration;

use fastrand::Rng;
use ofi::{Address, AddressVector, CompletionQueue, Connectionless, Endpoint, Info};

use super::in_flight::{InFlight, MOMENT, pick, size};
use crate::harness::{Mode, Rig, Stop};

/// A program's state: whatever it has made and not yet dropped.
pub(super) struct Program<K: Connectionless, T: Mode> {
    rng: Rng,
    endpoints: Vec<Endpoint<K, T>>,
    vectors: Vec<AddressVector<T>>,
    queues: Vec<CompletionQueue<T>>,
    addresses: Vec<Address>,
    ops: InFlight<T>,
    rig: Option<Rig<T>>,
}

impl<K: Connectionless, T: Mode> super::Program for Program<K, T> {
    fn new(rng: Rng, info: Info) -> Result<Self, Stop> {
        let rig = Rig::on(info)?;
        Ok(Program {
            rng,
            endpoints: Vec::new(),
            vectors: vec![rig.av.clone()],
            queues: vec![rig.cq.clone()],
            addresses: Vec::new(),
            ops: InFlight::new(),
            rig: Some(rig),
        })
    }

    fn step(&mut self, tags: bool) {
        let Some(rig) = &self.rig else { return };
        match self.rng.u8(..24) {
            0 | 1 if self.endpoints.len() < 4 => {
                let cq = &self.queues[self.rng.usize(..self.queues.len())];
                let av = &self.vectors[self.rng.usize(..self.vectors.len())];
                let builder = rig.domain.endpoint::<K>(&rig.info);
                if let Ok(endpoint) = builder.address_vector(av).completion_queue(cq).enable() {
                    self.endpoints.push(endpoint);
                }
            }
            2 if self.queues.len() < 3 => {
                let size = self.rng.usize(..512);
                self.queues.extend(rig.domain.completion_queue().size(size).open());
            }
            3 if self.vectors.len() < 3 => self.vectors.extend(rig.domain.address_vector().open()),
            0..=5 => self.insert(),
            6 => {
                if let Some(at) = pick(&mut self.rng, &self.addresses) {
                    let address = self.addresses[at];
                    for vector in &self.vectors {
                        let _ = vector.remove(address);
                    }
                }
            }
            7..=10 => {
                let size = size(&mut self.rng);
                if let Some(at) = pick(&mut self.rng, &self.endpoints) {
                    let receive = self.endpoints[at].recv(vec![0; size]);
                    self.ops.receive(&mut self.rng, tags, receive);
                }
            }
            11..=14 => {
                let size = size(&mut self.rng);
                let Some(at) = pick(&mut self.rng, &self.endpoints) else { return };
                let Some(to) = pick(&mut self.rng, &self.addresses) else { return };
                let send = self.endpoints[at].send(vec![1; size], self.addresses[to]);
                self.ops.send(&mut self.rng, tags, send);
            }
            15..=17 => self.ops.wait(&mut self.rng),
            18 => self.ops.give_up(&mut self.rng),
            19 => self.ops.cancel(&mut self.rng),
            20 => self.ops.try_take(),
            21 => self.close(),
            _ => {
                let cq = &self.queues[self.rng.usize(..self.queues.len())];
                let _ = cq.progress();
                let _ = cq.unsolicited();
                let _ = cq.try_wait();
            }
        }
    }

    fn end(mut self) {
        let mut order: Vec<u8> = (0..7).collect();
        self.rng.shuffle(&mut order);
        for what in order {
            match what {
                // A drop waits for up to 50 ms: a few are enough.
                0 if self.rng.u8(..32) != 0 => {
                    for endpoint in self.endpoints.drain(..) {
                        let _ = endpoint.close(MOMENT);
                    }
                }
                0 => self.endpoints.clear(),
                1 => self.vectors.clear(),
                2 => self.queues.clear(),
                3 => self.rig = None,
                kind => self.ops.clear(kind - 4),
            }
        }
    }
}

impl<K: Connectionless, T: Mode> Program<K, T> {
    fn insert(&mut self) {
        let Some(at) = pick(&mut self.rng, &self.endpoints) else { return };
        let Ok(name) = self.endpoints[at].name() else { return };
        let vector = &self.vectors[self.rng.usize(..self.vectors.len())];
        self.addresses.extend(vector.insert(&name));
    }

    /// Closes an endpoint, or a queue or vector that may still be in use.
    fn close(&mut self) {
        match self.rng.u8(..4) {
            0 | 1 => {
                if let Some(at) = pick(&mut self.rng, &self.endpoints) {
                    let endpoint = self.endpoints.swap_remove(at);
                    if self.rng.u8(..16) != 0 {
                        let _ = endpoint.close(Duration::from_millis(2));
                    }
                }
            }
            2 if self.queues.len() > 1 => {
                let at = self.rng.usize(1..self.queues.len());
                let _ = self.queues.swap_remove(at).close();
            }
            3 if self.vectors.len() > 1 => {
                let at = self.rng.usize(1..self.vectors.len());
                let _ = self.vectors.swap_remove(at).close();
            }
            _ => {}
        }
    }
}
