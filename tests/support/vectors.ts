/** Unit vectors that cluster as embeddings do. */
import { unit } from '../../model/vector.ts'

/** Unit vectors (count) of (dims,), each a random centre plus noise of about the same size. */
export function clusteredVectors(options: {
  count: number
  dims: number
  clusters: number
  random: () => number
  /** Pass the centres of an earlier call to draw from the same clusters. */
  centres?: readonly Float32Array[]
}): Float32Array[] {
  const { count, dims, clusters, random, centres = clusterCentres({ dims, clusters, random }) } = options
  return Array.from({ length: count }, () => {
    const centre = centres[Math.floor(random() * centres.length)]!
    return unit(centre.map((x) => x + 0.7 * normal(random)))
  })
}

export function clusterCentres(options: { dims: number; clusters: number; random: () => number }): Float32Array[] {
  const { dims, clusters, random } = options
  return Array.from({ length: clusters }, () => Float32Array.from({ length: dims }, () => normal(random)))
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}
