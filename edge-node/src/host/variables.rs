//! `spin:variables@3.0.0`: the component's own variables, resolved when the node started.

use wasmtime::component::{Accessor, HasSelf};

use super::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use crate::instances::Guest;
use crate::manifest::check_variable_name;

impl Host for Guest {}

impl<T: 'static + Send> HostWithStore<T> for HasSelf<Guest> {
    async fn get(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        if let Err(reason) = check_variable_name(&name) {
            return Ok(Err(Error::InvalidName(reason)));
        }
        let value =
            accessor.with(|mut access| access.get().shared.component.variables.get(&name).cloned());
        Ok(value.ok_or_else(|| Error::Undefined(format!("the component has no variable {name:?}"))))
    }
}
