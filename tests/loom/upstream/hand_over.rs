//! The queue's hand-over: a place that is given up reaches exactly one request that waits, and
//! none is lost.

use std::sync::{Arc, Weak};

use loom::thread;

use super::places::Places;
use super::waiting_line::{self, Member, WaitingLine};
use crate::base::bell::Bell;
use crate::base::sync::{AtomicBool, AtomicUsize, Ordering};
use crate::explore;
use crate::net::parking::{ParkToken, Unpark};

type Admission = waiting_line::Admission<Backend>;

/// A backend with one place.
struct Backend {
    places: Places,
    line: Arc<WaitingLine<Self>>,
    is_usable: AtomicBool,
    /// Requests that are at it now, and that were.
    inside: AtomicUsize,
    served: AtomicUsize,
}

struct Lease(Arc<Backend>);

impl Member for Backend {
    type Ask = ();
    type Lease = Lease;

    fn id(&self) -> u32 {
        1
    }

    fn places(&self) -> &Places {
        &self.places
    }

    fn suits(&self, _: &()) -> bool {
        true
    }

    fn take(this: &Arc<Self>, _: &()) -> Option<Lease> {
        this.places.take().then(|| Lease(Arc::clone(this)))
    }

    fn inherit(this: &Arc<Self>, _: &()) -> Option<Lease> {
        Some(Lease(Arc::clone(this)))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.line.give_up(&self.0);
    }
}

/// A task that sleeps until it is unparked; parking remembers what comes before the sleep.
struct Sleeper(Bell);

impl Unpark for Sleeper {
    fn unpark(&self, _: ParkToken) {
        self.0.ring();
    }
}

impl Backend {
    fn new() -> Arc<Self> {
        let (inside, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (places, is_usable) = (Places::new(Some(1)), AtomicBool::new(true));
        let backend = Arc::new(Self { places, line: Arc::default(), is_usable, inside, served });
        backend.line.set(2, std::slice::from_ref(&backend));
        backend
    }

    /// What a request does: asks, then joins the line.
    fn admit(self: &Arc<Self>, sleeper: &Arc<Sleeper>) -> Admission {
        let unpark: Weak<dyn Unpark> = Arc::downgrade(sleeper) as Weak<dyn Unpark>;
        match Self::take(self, &()) {
            Some(lease) => Admission::Admitted(lease),
            None => self.line.join(&(), || Self::take(self, &()), || true, &unpark),
        }
    }

    fn serve(&self, lease: Lease) {
        assert_eq!(self.inside.fetch_add(1, Ordering::Relaxed), 0, "two requests in one place");
        self.served.fetch_add(1, Ordering::Relaxed);
        self.inside.fetch_sub(1, Ordering::Relaxed);
        drop(lease);
    }

    /// A request from its arrival to its end.
    fn request(self: &Arc<Self>) {
        let sleeper = Arc::new(Sleeper(Bell::new()));
        let ticket = match self.admit(&sleeper) {
            Admission::Admitted(lease) => return self.serve(lease),
            Admission::Queued(ticket) => ticket,
            _ => panic!("the line is long enough"),
        };
        loop {
            if let Some(lease) = ticket.claim() {
                return self.serve(lease);
            }
            if !self.is_usable.load(Ordering::Acquire) {
                return;
            }
            if !ticket.park(ParkToken::nowhere()) {
                sleeper.0.await_ring();
            }
        }
    }

    fn spawn(this: &Arc<Self>, what: impl FnOnce(&Arc<Self>) + 'static) -> thread::JoinHandle<()> {
        let this = Arc::clone(this);
        thread::spawn(move || what(&this))
    }
}

#[test]
fn a_place_that_is_given_up_reaches_the_request_that_joins_at_that_moment() {
    explore(|| {
        let backend = Backend::new();
        let held = Backend::take(&backend, &()).expect("it is free");
        let waits = Backend::spawn(&backend, Backend::request);
        drop(held);
        waits.join().unwrap();
        assert_eq!((backend.served.load(Ordering::Relaxed), backend.places.active()), (1, 0));
    });
}

#[test]
fn three_requests_pass_one_place_on() {
    explore(|| {
        let backend = Backend::new();
        let others = [Backend::request, Backend::request].map(|request| Backend::spawn(&backend, request));
        backend.request();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((backend.served.load(Ordering::Relaxed), backend.places.active()), (3, 0));
    });
}

#[test]
fn a_place_given_to_a_request_that_leaves_goes_to_the_next() {
    explore(|| {
        let backend = Backend::new();
        let held = Backend::take(&backend, &()).expect("it is free");
        // Its client goes away while it waits, or was just given the place.
        let leaves = Arc::new(Sleeper(Bell::new()));
        let ticket = backend.admit(&leaves);
        let waits = Backend::spawn(&backend, Backend::request);
        let leaves = Backend::spawn(&backend, move |_| drop(ticket));
        drop(held);
        waits.join().unwrap();
        leaves.join().unwrap();
        assert_eq!((backend.served.load(Ordering::Relaxed), backend.places.active()), (1, 0));
    });
}

#[test]
fn a_request_that_goes_to_sleep_learns_that_there_is_nothing_left_to_wait_for() {
    explore(|| {
        let backend = Backend::new();
        let held = Backend::take(&backend, &()).expect("it is free");
        let waits = Backend::spawn(&backend, Backend::request);
        backend.is_usable.store(false, Ordering::Release);
        backend.line.reconsider();
        waits.join().unwrap();
        drop(held);
        assert_eq!(backend.places.active(), 0);
    });
}
