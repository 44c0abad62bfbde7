//! The tables, as the original makes them (api.md 12.0), so that both can share a MySQL database. SQLite compares names and
//! ids without case, as MySQL does by default; tokens, identifiers and server keys are compared exactly on both.

use bcs_sql::schema::{Column, Kind, Table};

use Kind::{Bool, Id, Int, Text, Time, Uint};

/// All tables.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "users",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("name", Text(255)).not_null().without_case().unique(),
            Column::new("is_super_user", Bool),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "user_tokens",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("user_id", Uint).indexed_in_sqlite(),
            Column::new("type", Uint),
            Column::new("value", Text(64)).unique(),
            Column::new("expires_at", Time),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "user_cluster_permissions",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("backend", Int).default(1).unique_with("idx_backend_user_cluster_id_name"),
            Column::new("user_id", Uint).unique_with("idx_backend_user_cluster_id_name"),
            Column::new("cluster_id", Text(255)).without_case().unique_with("idx_backend_user_cluster_id_name"),
            Column::new("name", Text(16)).without_case().unique_with("idx_backend_user_cluster_id_name"),
            Column::new("is_active", Bool),
            Column::new("updated_at", Time),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "external_user_records",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("user_id", Uint),
            Column::new("source_type", Uint).unique_with("idx_source_type_user_id"),
            Column::new("source_user_type", Text(255)).without_case().unique_with("idx_source_type_user_id"),
            Column::new("source_user_id", Text(255)).without_case().unique_with("idx_source_type_user_id"),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "clusters",
        columns: &[
            Column::new("id", Text(255)).not_null().without_case(),
            Column::new("provider", Uint),
            Column::new("creator_id", Uint),
            Column::new("identifier", Text(128)).indexed_in_sqlite(),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "cluster_credentials",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("cluster_id", Text(255)).not_null().without_case().unique(),
            Column::new("server_addresses", Text(2048)),
            Column::new("ca_cert_data", Text(4096)),
            Column::new("user_token", Text(2048)),
            Column::new("cluster_domain", Text(2048)),
            Column::new("created_at", Time),
            Column::new("updated_at", Time),
        ],
    },
    Table {
        name: "register_tokens",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("cluster_id", Text(255)).not_null().without_case().unique(),
            Column::new("token", Text(256)),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "ws_cluster_credentials",
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
    Table {
        name: "bcs_cluster_infos",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("cluster_id", Text(255)).without_case().indexed_in_sqlite(),
            Column::new("source_project_id", Text(32)).without_case().unique_with("idx_source_cluster_project"),
            Column::new("source_cluster_id", Text(100))
                .without_case()
                .unique_with("idx_source_cluster_project")
                .indexed_in_sqlite(),
            Column::new("cluster_type", Uint),
            Column::new("tke_cluster_id", Text(255)),
            Column::new("tke_cluster_region", Text(255)),
            Column::new("created_at", Time),
        ],
    },
    Table {
        name: "tke_lb_subnets",
        columns: &[
            Column::new("id", Id).not_null(),
            Column::new("cluster_region", Text(255)).not_null().without_case().unique(),
            Column::new("subnet_id", Text(256)).not_null(),
        ],
    },
    bcs_tke::cidr::TABLE,
];
