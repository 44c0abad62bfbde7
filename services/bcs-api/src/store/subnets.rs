//! `tke_lb_subnets`: where load balancers of TKE clusters go, by region.

use bcs_sql::{Dialect, SqlError};

use super::Store;
use super::columns::{self, TooLong};

impl Store {
    /// Refuses what the columns cannot hold.
    ///
    /// # Errors
    /// Names the column.
    pub fn check_subnet(region: &str, subnet_id: &str) -> Result<(), TooLong> {
        columns::check(&[("cluster_region", region, 255), ("subnet_id", subnet_id, 256)])
    }

    /// The subnet of a region.
    ///
    /// # Errors
    /// The database failed.
    pub async fn subnet(&self, region: &str) -> Result<Option<String>, SqlError> {
        if region.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT subnet_id FROM tke_lb_subnets WHERE cluster_region = ? ORDER BY id LIMIT 1";
        self.database.read(sql, &[region.into()]).await?.first().map(|row| row.text(0)).transpose()
    }

    /// Makes or replaces the subnet of a region.
    ///
    /// # Errors
    /// The database failed.
    pub async fn save_subnet(&self, region: &str, subnet_id: &str) -> Result<(), SqlError> {
        let sql = match self.database.dialect() {
            Dialect::MySql => {
                "INSERT INTO tke_lb_subnets (cluster_region, subnet_id) VALUES (?, ?) \
                 ON DUPLICATE KEY UPDATE subnet_id = VALUES(subnet_id)"
            }
            Dialect::Sqlite => {
                "INSERT INTO tke_lb_subnets (cluster_region, subnet_id) VALUES (?, ?) \
                 ON CONFLICT (cluster_region) DO UPDATE SET subnet_id = excluded.subnet_id"
            }
        };
        self.database.write(sql, &[region.into(), subnet_id.into()]).await.map(|_| ())
    }
}
