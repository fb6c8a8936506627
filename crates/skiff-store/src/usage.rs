//! How much space images take, and whether the store is whole.

use std::collections::HashMap;
use std::io::BufReader;

use skiff_model::digest::Digest;

use crate::Store;
use crate::error::{Result, StoreError};
use crate::hash::HashReader;
use crate::images::Image;

/// What `docker system df` says of images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Size of all layers, each counted once.
    pub layers_size: u64,
    /// Per image, in the order of [`crate::Images::list`].
    pub images: Vec<ImageUsage>,
}

/// One image's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    pub id: Digest,
    /// Sum of its layers' sizes.
    pub size: u64,
    /// The part of it in layers that other images have too.
    pub shared_size: u64,
}

/// Something in the store that is not what its name says.
#[derive(Debug)]
pub struct Damage {
    pub image: Digest,
    pub error: StoreError,
}

impl Store {
    /// Adds everything up.
    pub fn usage(&self) -> Result<Usage> {
        let images = self.images().list();
        let mut users: HashMap<Digest, u64> = HashMap::new();
        for named in &images {
            for chain_id in named.image.chain_ids() {
                *users.entry(chain_id).or_default() += 1;
            }
        }
        let mut usage = Usage::default();
        for chain_id in users.keys() {
            usage.layers_size += self.layer_size(chain_id);
        }
        for named in &images {
            let chain = named.image.chain_ids();
            let shared = chain.iter().filter(|chain_id| users[*chain_id] > 1);
            usage.images.push(ImageUsage {
                id: named.image.id,
                size: named.image.size,
                shared_size: shared.map(|chain_id| self.layer_size(chain_id)).sum(),
            });
        }
        Ok(usage)
    }

    fn layer_size(&self, chain_id: &Digest) -> u64 {
        self.snapshots().layer(chain_id).map_or(0, |layer| layer.size)
    }

    /// Sizes of an image's layers, lowest first (`docker history`).
    pub fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>> {
        image.chain_ids().iter().map(|id| Ok(self.snapshots().layer(id)?.size)).collect()
    }

    /// Hashes every blob of every image again, and makes every layer's tar that has no blob.
    pub fn verify(&self) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        for named in self.images().list() {
            let image = named.image;
            let mut check = |result: Result<()>| {
                if let Err(error) = result {
                    damages.push(Damage { image: image.id, error });
                }
            };
            let virtual_layers = image.layers.iter().filter(|l| image.diff_ids.contains(&l.digest));
            let made: Vec<Digest> = virtual_layers.map(|layer| layer.digest).collect();
            for digest in image.blobs().filter(|digest| !made.contains(digest)) {
                check(self.verify_blob(&digest));
            }
            for chain_id in image.chain_ids() {
                check(self.verify_layer(&chain_id));
            }
        }
        Ok(damages)
    }

    fn verify_blob(&self, digest: &Digest) -> Result<()> {
        let file = BufReader::with_capacity(256 << 10, self.content().open_blob(digest)?);
        let (actual, _) = HashReader::new(file).finish().map_err(StoreError::Stream)?;
        match actual == *digest {
            true => Ok(()),
            false => Err(StoreError::WrongDigest { expected: *digest, actual }),
        }
    }

    fn verify_layer(&self, chain_id: &Digest) -> Result<()> {
        self.write_tar(chain_id, &mut std::io::sink())
    }
}
