//! Programs over connections: listeners, requests, endpoints that connect, ends of all of them.

use std::time::Duration;

use fastrand::Rng;
use ofi::{
    CompletionQueue, ConnRequest, ConnectError, Connecting, Domain, Endpoint, EndpointBuilder,
    EventQueue, Fabric, FabricAddress, Info, Msg, PassiveEndpoint,
};

use super::in_flight::{InFlight, MOMENT, pick, size};
use crate::harness::{Mode, Stop, poll_once};

/// A program's state: whatever it has made and not yet dropped.
pub(super) struct Program<T: Mode> {
    rng: Rng,
    listeners: Vec<PassiveEndpoint<T>>,
    /// Of listeners that there are, and of some that are gone.
    names: Vec<FabricAddress>,
    requests: Vec<ConnRequest<T>>,
    connecting: Vec<Connecting<T>>,
    endpoints: Vec<Endpoint<Msg, T>>,
    events: Vec<EventQueue<T>>,
    queues: Vec<CompletionQueue<T>>,
    ops: InFlight<T>,
    objects: Option<(Fabric, Domain<T>, Info)>,
}

impl<T: Mode> super::Program for Program<T> {
    fn new(rng: Rng, info: Info) -> Result<Self, Stop> {
        let fabric = Fabric::open(&info)?;
        let domain: Domain<T> = fabric.domain(&info)?;
        Ok(Program {
            rng,
            listeners: Vec::new(),
            names: Vec::new(),
            requests: Vec::new(),
            connecting: Vec::new(),
            endpoints: Vec::new(),
            events: vec![fabric.event_queue().open()?, fabric.event_queue().open()?],
            queues: vec![domain.completion_queue().open()?],
            ops: InFlight::new(),
            objects: Some((fabric, domain, info)),
        })
    }

    fn step(&mut self, _tags: bool) {
        let Some((fabric, domain, info)) = &self.objects else { return };
        match self.rng.u8(..26) {
            0 | 1 if self.listeners.len() < 2 => {
                let eq = &self.events[self.rng.usize(..self.events.len())];
                let listener = fabric.passive_endpoint(info).event_queue(eq).listen();
                if let Ok(listener) = listener {
                    self.names.extend(listener.name());
                    self.listeners.push(listener);
                }
            }
            2 if self.queues.len() < 3 => self.queues.extend(domain.completion_queue().open()),
            3..=5 if self.connecting.len() + self.endpoints.len() < 6 => self.connect(),
            0..=7 => {
                if let Some(at) = pick(&mut self.rng, &self.listeners) {
                    if let Ok(Some(request)) = self.listeners[at].next_request(MOMENT) {
                        self.requests.push(request);
                    }
                }
            }
            8 | 9 => self.answer(),
            10..=12 => self.go_on_connecting(),
            13 | 14 => {
                let size = size(&mut self.rng);
                if let Some(at) = pick(&mut self.rng, &self.endpoints) {
                    let receive = self.endpoints[at].recv(vec![0; size]);
                    self.ops.receive(&mut self.rng, false, receive);
                } else if let Some(at) = pick(&mut self.rng, &self.connecting) {
                    let receive = self.connecting[at].recv(vec![0; size]);
                    self.ops.receive(&mut self.rng, false, receive);
                }
            }
            15..=17 => {
                let size = size(&mut self.rng);
                if let Some(at) = pick(&mut self.rng, &self.endpoints) {
                    let send = self.endpoints[at].send(vec![1; size]);
                    self.ops.send(&mut self.rng, false, send);
                }
            }
            18 | 19 => self.ops.wait(&mut self.rng),
            20 => self.ops.give_up(&mut self.rng),
            21 => self.ops.cancel(&mut self.rng),
            22 => self.ops.try_take(),
            23 => self.close(),
            _ => {
                let _ = self.queues[self.rng.usize(..self.queues.len())].progress();
                let eq = &self.events[self.rng.usize(..self.events.len())];
                let _ = eq.progress();
                let _ = eq.unsolicited();
                let _ = eq.try_wait();
            }
        }
    }

    fn end(mut self) {
        let mut order: Vec<u8> = (0..10).collect();
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
                1 => self.listeners.clear(),
                2 => self.queues.clear(),
                3 => self.events.clear(),
                4 => self.requests.clear(),
                5 => self.connecting.clear(),
                6 => self.objects = None,
                kind => self.ops.clear(kind - 7),
            }
        }
    }
}

impl<T: Mode> Program<T> {
    fn builder(&mut self) -> Option<EndpointBuilder<Msg, T>> {
        let (_, domain, info) = self.objects.as_ref()?;
        let cq = &self.queues[self.rng.usize(..self.queues.len())];
        let eq = &self.events[self.rng.usize(..self.events.len())];
        Some(domain.endpoint::<Msg>(info).completion_queue(cq).event_queue(eq))
    }

    fn connect(&mut self) {
        let Some(at) = pick(&mut self.rng, &self.names) else { return };
        let (name, data) = (self.names[at].clone(), [7; 16]);
        let length = self.rng.usize(..=data.len());
        if let Some(builder) = self.builder() {
            self.connecting.extend(builder.connect(&name, &data[..length]));
        }
    }

    /// Accepts a request, rejects it, or drops it.
    fn answer(&mut self) {
        let Some(at) = pick(&mut self.rng, &self.requests) else { return };
        let request = self.requests.swap_remove(at);
        match self.rng.u8(..6) {
            0 => drop(request),
            1 => drop(request.reject(b"no")),
            _ => {
                if let Some(builder) = self.builder() {
                    self.connecting.extend(request.accept(builder, b"yes"));
                }
            }
        }
    }

    fn go_on_connecting(&mut self) {
        let Some(at) = pick(&mut self.rng, &self.connecting) else { return };
        let mut connecting = self.connecting.swap_remove(at);
        if self.rng.u8(..8) == 0 {
            match poll_once(&mut connecting) {
                Some(done) => drop(done),
                None => self.connecting.push(connecting),
            }
            return;
        }
        match connecting.wait(MOMENT) {
            Ok((endpoint, _)) => self.endpoints.push(endpoint),
            Err(ConnectError::Expired(connecting)) => self.connecting.push(connecting),
            Err(refused) => drop(refused),
        }
    }

    /// Ends a connection, an attempt or a listener, or closes a queue that may be in use.
    fn close(&mut self) {
        match self.rng.u8(..6) {
            0 | 1 => {
                if let Some(at) = pick(&mut self.rng, &self.endpoints) {
                    let endpoint = self.endpoints.swap_remove(at);
                    if self.rng.bool() {
                        let _ = endpoint.shutdown();
                    }
                    if self.rng.u8(..16) != 0 {
                        let _ = endpoint.close(Duration::from_millis(2));
                    }
                }
            }
            2 => {
                if let Some(at) = pick(&mut self.rng, &self.listeners) {
                    let _ = self.listeners.swap_remove(at).close();
                }
            }
            3 => {
                if let Some(at) = pick(&mut self.rng, &self.connecting) {
                    drop(self.connecting.swap_remove(at));
                }
            }
            4 if self.queues.len() > 1 => {
                let at = self.rng.usize(1..self.queues.len());
                let _ = self.queues.swap_remove(at).close();
            }
            5 if self.events.len() > 1 => {
                let at = self.rng.usize(1..self.events.len());
                let _ = self.events.swap_remove(at).close();
            }
            _ => {}
        }
    }
}
