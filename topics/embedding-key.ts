/** Keys of embeddings: 'id/release'. Every other topic of uploads is keyed by the id alone; ids hold no slash. */

export function embeddingKey(id: string, release: string): string {
  return `${id}/${release}`
}

/** @param key of an embedding, or a plain id: then the release is ''. */
export function splitEmbeddingKey(key: string): [id: string, release: string] {
  const slash = key.indexOf('/')
  return slash === -1 ? [key, ''] : [key.slice(0, slash), key.slice(slash + 1)]
}
