// ESLint's rules: typescript-eslint's recommended set. Layout is Prettier's business, the direction of imports is src/tidy.test.ts's.
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "guest/bin/", "coverage/"] },
  ...tseslint.configs.recommended,
  {
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-non-null-assertion": "off",
      "require-yield": "off",
      "no-constant-condition": ["error", { checkLoops: false }],
      eqeqeq: "error",
    },
  },
  { files: ["bin/*.js", "**/*.cjs"], rules: { "@typescript-eslint/no-require-imports": "off" } },
);
