//! What the environment asks of the provider.

use std::{collections::HashMap, ffi::c_int};

use ofi_sys::*;

/// What callers must do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) mode: u64,
    pub(crate) mr_mode: c_int,
    pub(crate) exclusive: bool,
}

impl Demand {
    pub(crate) fn of_environment() -> Demand {
        let text = std::env::var("OFI_TEST_DEMAND").unwrap_or_default();
        let mut demand = Demand::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "context" => demand.mode |= FI_CONTEXT,
                "context2" => demand.mode |= FI_CONTEXT2,
                "async_iov" => demand.mode |= FI_ASYNC_IOV,
                "msg_prefix" => demand.mode |= FI_MSG_PREFIX,
                "rx_cq_data" => demand.mode |= FI_RX_CQ_DATA,
                "mr_local" => demand.mr_mode |= FI_MR_LOCAL,
                "mr_virt_addr" => demand.mr_mode |= FI_MR_VIRT_ADDR,
                "mr_allocated" => demand.mr_mode |= FI_MR_ALLOCATED,
                "mr_prov_key" => demand.mr_mode |= FI_MR_PROV_KEY,
                "mr_endpoint" => demand.mr_mode |= FI_MR_ENDPOINT,
                "mr_raw" => demand.mr_mode |= FI_MR_RAW,
                "exclusive" => demand.exclusive = true,
                other => panic!("OFI_TEST_DEMAND: {other}"),
            }
        }
        demand
    }

    pub(crate) fn demands(&self, mode: u64) -> bool {
        self.mode & mode != 0
    }

    pub(crate) fn demands_mr(&self, mode: c_int) -> bool {
        self.mr_mode & mode != 0
    }

    /// Bytes before each message.
    pub(crate) fn prefix(&self) -> usize {
        if self.demands(FI_MSG_PREFIX) { 24 } else { 0 }
    }
}

/// What becomes of operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    one_in: HashMap<&'static str, (u64, u64)>,
    pub(crate) reorder: bool,
    random: Option<u64>,
}

impl Plan {
    const WORDS: [&'static str; 4] = ["eagain", "fail", "never", "slow"];

    pub(crate) fn parse(text: &str) -> Plan {
        let mut plan = Plan::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (word, number) = part.split_once(':').unwrap_or((part, "1"));
            let number = number.parse().unwrap_or_else(|_| panic!("OFI_TEST_PLAN: {part}"));
            match (word, Plan::WORDS.iter().find(|known| **known == word)) {
                ("reorder", _) => plan.reorder = true,
                // The generator stands still at 0.
                ("seed", _) => plan.random = Some(number | 1 << 63),
                (_, Some(known)) => {
                    plan.one_in.insert(known, (number, 0));
                }
                _ => panic!("OFI_TEST_PLAN: {part}"),
            }
        }
        plan
    }

    pub(crate) fn of_environment() -> Plan {
        Plan::parse(&std::env::var("OFI_TEST_PLAN").unwrap_or_default())
    }

    /// Whether it is this one's turn to be what `word` says.
    pub(crate) fn says(&mut self, word: &str) -> bool {
        let Some((every, count)) = self.one_in.get_mut(word) else { return false };
        let every = *every;
        *count += 1;
        let turn = *count;
        match self.random {
            None => turn % every == 0,
            Some(_) => self.below(every) == 0,
        }
    }

    /// Whether the operation moves in this round.
    pub(crate) fn moves(&mut self) -> bool {
        !self.one_in.contains_key("slow") || self.says("slow")
    }

    /// A number below `limit`: the last one without a seed.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        let Some(state) = &mut self.random else { return limit - 1 };
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % limit
    }
}
