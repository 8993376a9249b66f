/** Which generation the projection into the index is of: its group, its rebuild and what watches it agree by this. */
import type { Catalogue } from '../ports/catalogue.ts'
import type { VectorIndex } from '../ports/vector-index.ts'

export interface ProjectionStores {
  readonly index: VectorIndex
  readonly catalogue: Catalogue
}

/** Another one after a store that index-embeddings fills was wiped or rebuilt; '' where stores are never wiped. */
export function projectionGeneration({ index }: ProjectionStores): Promise<string> {
  return index.generation()
}
