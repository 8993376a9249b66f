/** What a release says of itself; stored as manifest.json beside its files and announced in models.released.v1. */
export interface ReleaseManifest {
  readonly release: string
  /** 'zero-shot', 'viml' (ViML and MT side by side), or one model alone, such as 'mvpt+' or 'mt'. */
  readonly model: string
  /** Width of the joint space. */
  readonly dims: number
  /** The frozen encoders whose features the towers take. */
  readonly encoders: {
    readonly video: { readonly id: string; readonly dims: number }
    readonly music: { readonly id: string; readonly dims: number }
    readonly text: { readonly id: string; readonly dims: number }
  }
  /** File names inside the bundle. */
  readonly towers: { readonly query: string; readonly music: string }
  readonly files: readonly { readonly name: string; readonly sha256: string; readonly bytes: number }[]
  readonly metrics: Readonly<Record<string, number>>
  readonly parent: string | null
  /** ISO 8601. */
  readonly createdAt: string
}
