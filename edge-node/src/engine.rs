//! The one wasmtime engine: a pool of instance slots, and a clock that interrupts running guests.
//!
//! Invariant: while an [`Engine`] lives its epoch goes on. A guest's code can thus never hold a
//! thread for longer than [`limits::EPOCH_TICK`] without its budget being checked. There is one in a process, however many
//! nodes are: its pool takes thousands of the memory maps that the system allows a process.

use std::sync::{Mutex, PoisonError};

use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::limits;

/// The engine of this process, built if there is none.
///
/// # Errors
/// As for building it.
pub(crate) fn shared() -> wasmtime::Result<Engine> {
    static SHARED: Mutex<Option<EngineWeak>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = shared.as_ref().and_then(EngineWeak::upgrade) {
        return Ok(engine);
    }
    let engine = start()?;
    *shared = Some(engine.weak());
    Ok(engine)
}

/// Builds the engine and starts its clock.
///
/// # Errors
/// When the host cannot reserve the address space of the pool, or start the clock's thread.
fn start() -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    let memory_bytes = usize::try_from(limits::MAX_MEMORY_MB << 20)?;
    pool.total_component_instances(limits::MAX_INSTANCES)
        .total_core_instances(limits::MAX_INSTANCES * limits::MAX_CORE_INSTANCES_PER_COMPONENT)
        .total_memories(limits::MAX_INSTANCES)
        .total_tables(limits::MAX_INSTANCES * limits::MAX_TABLES_PER_COMPONENT)
        .total_stacks(limits::MAX_GUEST_STACKS)
        .max_core_instances_per_component(limits::MAX_CORE_INSTANCES_PER_COMPONENT)
        .max_tables_per_component(limits::MAX_TABLES_PER_COMPONENT)
        .max_component_instance_size(limits::MAX_INSTANCE_RECORD_BYTES)
        .max_core_instance_size(limits::MAX_INSTANCE_RECORD_BYTES)
        .table_elements(limits::MAX_TABLE_ELEMENTS)
        .max_memory_size(memory_bytes)
        .max_unused_warm_slots(limits::MAX_WARM_SLOTS)
        .linear_memory_keep_resident(limits::KEEP_RESIDENT_BYTES);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .max_wasm_stack(limits::GUEST_STACK_BYTES);
    let engine = Engine::new(&config)?;
    start_clock(&engine)?;
    Ok(engine)
}

/// A thread of its own: a task could wait behind the very guests that it is to interrupt.
fn start_clock(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(limits::EPOCH_TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    })?;
    Ok(())
}
