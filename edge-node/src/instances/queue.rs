//! The requests of a component that wait for an instance, and the instances that wait for a request.
//!
//! A request goes to the instance that worked last: its memory is still in the processor's caches. More
//! instances make nothing faster that the processor holds up, only colder; so another one is started
//! while a thread has none, and after that only if nobody has taken a request for a while: all are full,
//! or stuck. ([`Queue::wanted`])
//!
//! Invariants: a request is given to one instance, and to none once its caller has left; while a request
//! waits, no instance is idle that was not woken. An instance may be held up by its guests when it is
//! woken: whoever waits looks again after [`limits::START_PATIENCE`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use futures::channel::oneshot;
use http::{HeaderValue, Request, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use crate::limits;

/// What an instance answers, or why it does not.
pub(super) type Answered = Result<Response<WasiBody>, wasmtime::Error>;

/// A request on its way to an instance.
pub(super) struct Job {
    pub(super) request: Request<WasiBody>,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Answered>,
    /// Its place among the requests in progress.
    pub(super) place: Arc<OwnedSemaphorePermit>,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// Its trace.
    pub(super) traceparent: HeaderValue,
    /// Told which instance took it, by the queue.
    pub(super) taken_by: TakenBy,
}

/// The number of the instance that took a request, once one has.
pub(super) type TakenBy = Arc<OnceLock<u64>>;

/// The queue of one component.
pub(super) struct Queue {
    /// Threads that run instances.
    threads: usize,
    /// Requests that one instance handles at a time.
    concurrency: usize,
    state: Mutex<State>,
}

struct State {
    jobs: VecDeque<Job>,
    /// Instances that wait, by number; who began to last is last.
    idle: Vec<(u64, Waker)>,
    starting: usize,
    /// Instances that take requests, or will again.
    live: usize,
    /// When an instance last took a request, or came to be.
    moved: Instant,
}

impl Queue {
    pub(super) fn new(threads: usize, concurrency: usize) -> Self {
        let (jobs, idle, moved) = (VecDeque::new(), Vec::new(), Instant::now());
        let state = Mutex::new(State { jobs, idle, starting: 0, live: 0, moved });
        Self { threads, concurrency, state }
    }

    /// Adds a request. The caller starts as many instances as are returned.
    #[must_use]
    pub(super) fn push(&self, job: Job) -> usize {
        let mut state = self.state();
        state.jobs.push_back(job);
        self.wake_or_start(state)
    }

    /// A request for instance `number`, which is woken if there is none now.
    pub(super) fn take(&self, number: u64, waker: &Waker) -> Option<Job> {
        let mut state = self.state();
        if let Some(job) = state.jobs.pop_front() {
            job.taken_by.get_or_init(|| number);
            state.idle.retain(|(other, _)| *other != number);
            state.moved = Instant::now();
            return Some(job);
        }
        match state.idle.iter_mut().find(|(other, _)| *other == number) {
            Some((_, known)) => known.clone_from(waker),
            None => state.idle.push((number, waker.clone())),
        }
        None
    }

    /// Instance `number` takes no request now. Had it been woken for one, another one is. The caller starts
    /// as many instances as are returned.
    #[must_use]
    pub(super) fn withdraw(&self, number: u64) -> usize {
        let mut state = self.state();
        state.idle.retain(|(other, _)| *other != number);
        self.wake_or_start(state)
    }

    /// Removes a request that nobody waits for any more.
    pub(super) fn forget(&self, taken_by: &TakenBy) {
        let mut state = self.state();
        let gone = state.jobs.iter().position(|job| Arc::ptr_eq(&job.taken_by, taken_by));
        let gone = gone.and_then(|index| state.jobs.remove(index));
        // What a body does when it is dropped is not this queue's affair.
        drop(state);
        drop(gone);
    }

    /// For those who have waited: instances to start now.
    #[must_use]
    pub(super) fn look_again(&self) -> usize {
        self.wake_or_start(self.state())
    }

    /// An instance is there.
    pub(super) fn started(&self) {
        let mut state = self.state();
        state.live += 1;
        state.moved = Instant::now();
    }

    /// One of those to be started is, or will not be.
    pub(super) fn start_is_over(&self) {
        self.state().starting -= 1;
    }

    /// Whether instances are to come.
    pub(super) fn is_starting(&self) -> bool {
        self.state().starting > 0
    }

    /// The request that has waited longest, to be told that no instance starts. None while one lives or
    /// starts.
    pub(super) fn give_up_one(&self) -> Option<Job> {
        let mut state = self.state();
        if state.live + state.starting > 0 { None } else { state.jobs.pop_front() }
    }

    /// Instance `number` will take no more. To be told once. The caller starts as many instances as are
    /// returned.
    #[must_use]
    pub(super) fn retire(&self, number: u64) -> usize {
        let mut state = self.state();
        state.live -= 1;
        state.idle.retain(|(other, _)| *other != number);
        self.wake_or_start(state)
    }

    fn wake_or_start(&self, mut state: MutexGuard<'_, State>) -> usize {
        if state.jobs.is_empty() {
            return 0;
        }
        if let Some((_, waker)) = state.idle.pop() {
            drop(state);
            waker.wake();
            return 0;
        }
        let wanted = self.wanted(&state);
        state.starting += wanted;
        wanted
    }

    /// How many instances to start for the requests that wait while no instance does.
    fn wanted(&self, state: &State) -> usize {
        if state.live + state.starting < self.threads {
            return 1;
        }
        if state.starting > 0 || state.moved.elapsed() < limits::START_PATIENCE {
            return 0;
        }
        state.jobs.len().div_ceil(self.concurrency)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use futures::channel::oneshot;
    use http::{HeaderValue, Request};
    use tokio::sync::Semaphore;
    use tokio::time::{Instant, sleep};

    use super::{Job, Queue, TakenBy};
    use crate::body::full;
    use crate::limits;

    fn job() -> Job {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Job {
            request: Request::new(full("")),
            answer: oneshot::channel().0,
            place: Arc::new(place),
            deadline: Instant::now(),
            traceparent: HeaderValue::from_static("-"),
            taken_by: TakenBy::default(),
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn start(queue: &Queue, wanted: usize) {
        for _ in 0..wanted {
            queue.started();
            queue.start_is_over();
        }
    }

    #[test]
    fn the_instance_that_worked_last_is_woken() {
        let queue = Queue::new(2, 16);
        let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        assert!(queue.take(1, &Waker::from(Arc::clone(&first))).is_none());
        assert!(queue.take(2, &Waker::from(Arc::clone(&last))).is_none());
        assert_eq!(queue.push(job()), 0, "nobody has to start");
        assert_eq!((first.times(), last.times()), (0, 1));
        // It cannot take it after all: the other one is told.
        assert_eq!(queue.withdraw(2), 0);
        assert_eq!((first.times(), last.times()), (1, 1));
        assert!(queue.take(1, Waker::noop()).is_some());
    }

    #[test]
    fn an_instance_that_retires_passes_on_what_it_was_woken_for() {
        let queue = Queue::new(1, 16);
        let woken = Arc::new(Woken::default());
        assert_eq!(queue.push(job()), 1);
        start(&queue, 1);
        assert!(queue.take(1, Waker::noop()).is_some());
        assert!(queue.take(1, &Waker::from(Arc::clone(&woken))).is_none());
        assert_eq!(queue.push(job()), 0);
        assert_eq!(woken.times(), 1);
        assert_eq!(queue.retire(1), 1, "another has to start");
    }

    #[tokio::test]
    async fn more_than_one_for_each_thread_start_only_if_nothing_moves() {
        let queue = Queue::new(2, 16);
        assert_eq!((0..40).map(|_| queue.push(job())).sum::<usize>(), 2);
        start(&queue, 2);
        sleep(2 * limits::START_PATIENCE).await;
        assert!(queue.take(1, Waker::noop()).is_some());
        assert_eq!(queue.look_again(), 0, "they are taken one after the other");
        sleep(2 * limits::START_PATIENCE).await;
        assert_eq!(queue.look_again(), 3, "39 need three instances of 16");
        assert_eq!(queue.look_again(), 0, "three are starting");
    }

    #[test]
    fn a_request_that_nobody_waits_for_is_given_to_nobody() {
        let queue = Queue::new(1, 16);
        let (gone, other) = (job(), job());
        let (gone_by, other_by) = (Arc::clone(&gone.taken_by), Arc::clone(&other.taken_by));
        assert_eq!((queue.push(gone), queue.push(other)), (1, 0));
        queue.forget(&gone_by);
        let taken = queue.take(1, Waker::noop()).unwrap();
        assert!(Arc::ptr_eq(&taken.taken_by, &other_by));
        assert!(queue.take(1, Waker::noop()).is_none());
    }

    #[test]
    fn while_an_instance_lives_nobody_is_told_that_none_starts() {
        let queue = Queue::new(2, 16);
        start(&queue, queue.push(job()));
        assert!(queue.give_up_one().is_none());
        assert_eq!(queue.retire(1), 1);
        assert!(queue.give_up_one().is_none(), "another one starts");
        queue.start_is_over();
        assert!(queue.give_up_one().is_some());
    }
}
