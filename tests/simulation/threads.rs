//! The same types on many threads at once.

use std::sync::{Arc, Weak};

use ropewalk::internal::config::plan::{PoolPlan, Strategy};
use ropewalk::internal::net::parking::Unpark;
use ropewalk::internal::upstream::backend::Backend;
use ropewalk::internal::upstream::lease::Lease;
use ropewalk::internal::upstream::pool::{Ask, Pool};
use ropewalk::internal::upstream::queue::Admission;

use super::member::{NeverParks, backend, limits};

/// A count can be shared: leases taken and dropped on many threads leave none behind.
#[test]
fn leases_on_many_threads_leave_no_count_behind() {
    let shared = Arc::new(Backend::new(backend(0, 1, None), None, 4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let (one, two) =
                        (Lease::take(&shared, &Ask::default()), Lease::take(&shared, &Ask::default()));
                    assert!(shared.active() >= 2);
                    drop((one, two));
                }
            });
        }
    });
    assert_eq!((shared.active(), shared.requests()), (0, 16_000));
}

/// Slots that many threads take, wait for, and give up before noticing that they have them: the limit
/// is never exceeded, and in the end every request has been served.
#[test]
fn slots_on_many_threads_are_neither_lost_nor_doubled() {
    const THREADS: usize = 4;
    const TURNS: u32 = 2000;
    let plan = PoolPlan {
        name: "default".to_owned(),
        strategy: Strategy::LeastConnections,
        retry_on_status: Vec::new(),
        health_check: None,
        ejection: None,
        backends: vec![backend(0, 1, Some(1)), backend(1, 1, Some(2))],
    };
    let pool = Pool::new(&plan, &limits(), 1);
    let nobody = Weak::<NeverParks>::new() as Weak<dyn Unpark>;
    let hold = |lease: Lease| {
        let most = lease.backend().max_connections().expect("a bound");
        assert!((1..=most).contains(&lease.backend().active()));
        std::thread::yield_now();
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, nobody) = (&pool, &nobody);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(thread as u64);
                for _ in 0..TURNS {
                    match pool.admit(&Ask::default(), nobody) {
                        Admission::Admitted(lease) => hold(lease),
                        Admission::Queued(ticket) if rng.u8(..4) == 0 => drop(ticket),
                        Admission::Queued(ticket) => loop {
                            if let Some(lease) = ticket.claim() {
                                hold(lease);
                                break;
                            }
                            std::thread::yield_now();
                        },
                        Admission::Full | Admission::NoBackend => panic!("there is room for all threads"),
                    }
                }
            });
        }
    });
    assert!(pool.queue().is_empty());
    assert!(pool.backends().iter().all(|backend| backend.active() == 0));
}
