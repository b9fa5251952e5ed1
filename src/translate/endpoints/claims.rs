//! The claims to be an endpoint of one Service port, in order.
//!
//! Most Services have few, and there are many Services: their claims stand in a list that has little more room than it
//! needs. A tree would keep a third of its places empty, and one of 10,000 claims as a list would move half of them at each
//! change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arcstr::ArcStr;

use super::{Address, Endpoint, Origin, Source};

/// A list becomes a tree above this many claims, and a list again at half of it.
const FEW: usize = 64;

/// All claims to be an endpoint of one Service port, by address and then by source.
#[derive(Debug)]
pub(super) enum Claims {
    /// Sorted.
    Few(Vec<Claim>),
    Many(BTreeMap<(Address, Source), Arc<Endpoint>>),
}

/// One claim, with no gaps between its parts.
#[derive(Debug)]
pub(super) struct Claim {
    address: Address,
    origin: Origin,
    name: ArcStr,
    endpoint: Arc<Endpoint>,
}

impl Claim {
    fn new((address, Source { origin, name }): (Address, Source), endpoint: Arc<Endpoint>) -> Self {
        Self { address, origin, name, endpoint }
    }

    /// What it is sorted by.
    fn place(&self) -> (Address, Origin, &ArcStr) {
        (self.address, self.origin, &self.name)
    }
}

impl Default for Claims {
    fn default() -> Self {
        Claims::Few(Vec::new())
    }
}

impl Claims {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Claims::Few(list) => list.len(),
            Claims::Many(tree) => tree.len(),
        }
    }

    /// The source claims the address, from now on with this endpoint.
    pub(super) fn put(&mut self, address: Address, source: Source, endpoint: Arc<Endpoint>) {
        match self {
            Claims::Many(tree) => drop(tree.insert((address, source), endpoint)),
            Claims::Few(list) => match place(list, address, &source) {
                Ok(at) => list[at].endpoint = endpoint,
                Err(_) if list.len() == FEW => {
                    let known = list.drain(..).map(|Claim { address, origin, name, endpoint }| {
                        ((address, Source { origin, name }), endpoint)
                    });
                    *self = Claims::Many(known.chain([((address, source), endpoint)]).collect());
                }
                Err(at) => {
                    if list.len() == list.capacity() {
                        list.reserve_exact((list.len() / 4).max(1));
                    }
                    list.insert(at, Claim::new((address, source), endpoint));
                }
            },
        }
    }

    /// The source does not claim the address any more.
    pub(super) fn del(&mut self, address: Address, source: Source) {
        match self {
            Claims::Few(list) => {
                if let Ok(at) = place(list, address, &source) {
                    list.remove(at);
                }
            }
            Claims::Many(tree) => {
                tree.remove(&(address, source));
                if tree.len() <= FEW / 2 {
                    let left = std::mem::take(tree).into_iter();
                    *self = Claims::Few(left.map(|(place, endpoint)| Claim::new(place, endpoint)).collect());
                }
            }
        }
    }

    /// The first claim to this address.
    pub(super) fn first(&self, address: Address) -> Option<&Arc<Endpoint>> {
        match self {
            Claims::Few(list) => {
                let at = list.partition_point(|claim| claim.address < address);
                list.get(at).filter(|claim| claim.address == address).map(|claim| &claim.endpoint)
            }
            Claims::Many(tree) => {
                let first = tree.range((address, Source::FIRST)..).next();
                first.filter(|((at, _), _)| *at == address).map(|(_, endpoint)| endpoint)
            }
        }
    }

    /// All of them in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Address, &Arc<Endpoint>)> {
        let (list, tree) = match self {
            Claims::Few(list) => (Some(list), None),
            Claims::Many(tree) => (None, Some(tree)),
        };
        let few = list.into_iter().flatten().map(|claim| (claim.address, &claim.endpoint));
        few.chain(tree.into_iter().flatten().map(|((address, _), endpoint)| (*address, endpoint)))
    }
}

fn place(list: &[Claim], address: Address, source: &Source) -> Result<usize, usize> {
    let wanted = (address, source.origin, &source.name);
    list.binary_search_by(|claim| claim.place().cmp(&wanted))
}
