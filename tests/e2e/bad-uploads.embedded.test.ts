import { badUploads } from './bad-uploads.ts'

badUploads('the embedded engines', async () => ({}))
