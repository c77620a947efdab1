/** What lower.mjs exports. */
export declare function createLowering(config: string): { lower(path: string): string };
