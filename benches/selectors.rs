//! What a pick costs: each strategy at 3 and at 1 000 backends.
//!
//! The pool is read through atomics behind a trait object, as in the balancer. A row with
//! nine of ten backends down shows what an outage costs on top.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ropewalk::internal::config::plan::Strategy;
use ropewalk::internal::upstream::selector::{self, Candidates};

struct Backend {
    up: AtomicBool,
    weight: AtomicU32,
    active: AtomicU32,
}

struct Pool(Vec<Backend>);

impl Pool {
    /// Weights 1 to 5 and a few requests in flight; one in `up_one_in` is up.
    fn of(backends: u32, up_one_in: u32) -> Self {
        let backend = |index: u32| Backend {
            up: AtomicBool::new(index.is_multiple_of(up_one_in)),
            weight: AtomicU32::new(index % 5 + 1),
            active: AtomicU32::new(index % 7),
        };
        Pool((0..backends).map(backend).collect())
    }
}

impl Candidates for Pool {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn is_usable(&self, index: usize) -> bool {
        self.0[index].up.load(Ordering::Relaxed)
    }
    fn weight(&self, index: usize) -> u32 {
        self.0[index].weight.load(Ordering::Relaxed)
    }
    fn active(&self, index: usize) -> u32 {
        self.0[index].active.load(Ordering::Relaxed)
    }
}

fn picks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("selector");
    for (name, strategy) in [
        ("round-robin", Strategy::RoundRobin),
        ("weighted-round-robin", Strategy::WeightedRoundRobin),
        ("least-connections", Strategy::LeastConnections),
        ("random", Strategy::Random),
    ] {
        for (row, pool) in
            [("3", Pool::of(3, 1)), ("1000", Pool::of(1000, 1)), ("1000, 900 down", Pool::of(1000, 10))]
        {
            let mut selector = selector::build(strategy, 1);
            group.bench_function(BenchmarkId::new(name, row), |bencher| {
                bencher.iter(|| selector.pick(black_box(&pool)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, picks);
criterion_main!(benches);
