//! The tables of user-manager.md 8.1.

use bcs_sql::schema::{Column, Kind, Table};

use Kind::{Id, Text, Time, Uint};

/// All tables, in the order in which the original makes them.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "bcs_users",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("name", Text(255)).not_null().unique(),
            Column::new("user_type", Uint),
            Column::new("user_token", Text(64)).unique(),
            Column::new("created_at", Time),
            Column::new("updated_at", Time),
            Column::new("expires_at", Time),
        ],
    },
    Table {
        name: "bcs_clusters",
        columns: &[
            Column::new("id", Text(255)).not_null(),
            Column::new("cluster_type", Uint),
            Column::new("tke_cluster_id", Text(255)),
            Column::new("tke_cluster_region", Text(255)),
            Column::new("creator_id", Uint),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "bcs_register_tokens",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("cluster_id", Text(255)).not_null().unique(),
            Column::new("token", Text(256)),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "bcs_cluster_credentials",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("cluster_id", Text(255)).not_null().unique(),
            Column::new("server_addresses", Text(2048)),
            Column::new("ca_cert_data", Text(4096)),
            Column::new("user_token", Text(2048)),
            Column::new("cluster_domain", Text(2048)),
            Column::new("created_at", Time),
            Column::new("updated_at", Time),
        ],
    },
    Table {
        name: "bcs_roles",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("name", Text(255)).not_null().unique(),
            Column::new("actions", Text(255)).not_null(),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "bcs_user_resource_roles",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("user_id", Uint).not_null().indexed_in_sqlite(),
            Column::new("resource_type", Text(255)).not_null(),
            Column::new("resource", Text(255)),
            Column::new("role_id", Uint).not_null(),
            Column::new("created_at", Time),
        ],
    },
    bcs_tke::cidr::TABLE,
    // Never read or written; older releases expect it.
    Table {
        name: "bcs_ws_cluster_credentials",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("server_key", Text(255)).not_null().unique(),
            Column::new("client_module", Text(255)).not_null(),
            Column::new("server_address", Text(2048)),
            Column::new("ca_cert_data", Text(4096)),
            Column::new("user_token", Text(2048)),
            Column::new("created_at", Time),
            Column::new("updated_at", Time),
        ],
    },
];
