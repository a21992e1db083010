//! address_pool
